/**
 * Whether git takes this as a branch's name, by git-check-ref-format(1), and nothing takes it for an option. Where git is at
 * hand, it has the last word.
 */
export const isBranchName = (name: string): boolean =>
  name !== '' && name.length <= 200 && name !== '@' && name !== 'HEAD' &&
  !/[\p{Cc}\s~^:?*[\\]|^-|(?:^|\/)\.|\.lock(?:\/|$)|\.\.|@\{|(?:^|\/)\/|[/.]$/u.test(name)
