/** Real git repositories of a test's own. */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { temporaryFolder } from './archives.js'
import { mustRun, run, type Result } from './run.js'

const identity = {
  GIT_AUTHOR_NAME: 'test', GIT_AUTHOR_EMAIL: 'test@localhost', GIT_COMMITTER_NAME: 'test', GIT_COMMITTER_EMAIL: 'test@localhost',
  GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', GIT_TERMINAL_PROMPT: '0',
}

/** A repository with a working tree, on the branch `main`. */
export class Repository {
  readonly folder: string
  constructor(folder: string) {
    this.folder = folder
  }

  /** Runs git in it, and returns what it printed. */
  async git(...args: string[]): Promise<string> {
    return (await mustRun('git', args, { cwd: this.folder, env: identity })).trim()
  }

  /** The same, which may fail. */
  tryGit(args: string[], env: Record<string, string> = {}): Promise<Result> {
    return run('git', args, { cwd: this.folder, env: { ...identity, ...env } })
  }

  /** Writes these files and commits all that is there; the commit's full id. */
  async commit(files: Record<string, string>, message = Object.keys(files).join(' ')): Promise<string> {
    for (const [path, text] of Object.entries(files)) {
      const file = join(this.folder, path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, text)
    }
    await this.git('add', '--all')
    await this.git('commit', '--quiet', '--allow-empty', '--message', message)
    return await this.git('rev-parse', 'HEAD')
  }

  /** As when a server is gone. */
  async vanish(): Promise<void> {
    await rm(this.folder, { recursive: true })
  }
}

export async function makeRepository(): Promise<Repository> {
  const folder = join(await temporaryFolder('repository'), 'shop.git')
  await mkdir(folder)
  const repository = new Repository(folder)
  await repository.git('init', '--quiet', '--initial-branch', 'main')
  return repository
}

/** A bare repository on "the server", with a program that runs after each push. */
export async function makeBareRepository(postReceive: string): Promise<string> {
  const folder = join(await temporaryFolder('bare'), 'shop.git')
  await mustRun('git', ['init', '--quiet', '--bare', '--initial-branch', 'main', folder], { env: identity })
  const hook = join(folder, 'hooks/post-receive')
  await mkdir(dirname(hook), { recursive: true })
  await writeFile(hook, postReceive)
  await chmod(hook, 0o755)
  return folder
}
