/**
 * What one probe came to. `words` go on behind the instance's unit, such as `answered GET /healthz with 503`; to people,
 * failures of one `kind` are the same again.
 */
export type ProbeAnswer = { ok: true; words: string } | { ok: false; kind: string; words: string }
