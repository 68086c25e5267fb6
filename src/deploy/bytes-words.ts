/** Bytes as systemd writes them: `712.0K`, `45.3M`, `1.2G`. */
export function bytesWords(bytes: number): string {
  let value = bytes / 1024
  for (const unit of ['K', 'M', 'G']) {
    if (value < 1024) return `${value.toFixed(1)}${unit}`
    value /= 1024
  }
  return `${value.toFixed(1)}T`
}
