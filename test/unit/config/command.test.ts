import { describe, expect, test } from 'vitest'
import { resolveScript } from '../../../src/config/socket-loss.js'
import { splitWords } from '../../../src/config/shell-words.js'
import { read, refuse, write } from './fixtures.js'

const commanded = (command: string[]): string => write().replace('["node", "server.js"]', JSON.stringify(command))

const scripts = {
  start: 'node server.js',
  loop: 'npm run loop',
  ping: 'npm run pong',
  pong: 'npm run ping',
  shell: 'node build.js && node server.js',
  prod: "cross-env NODE_ENV=production MODE='a b' node --enable-source-maps dist/main.js",
  tsx: 'tsx src/server.ts',
  next: 'next start -p 3000',
  dotenv: 'dotenv -e .env -- node server.js',
}

describe('commands that keep the sockets', () => {
  test.each([
    ['node', 'server.js'], ['node', '--import', 'tsx', 'server.ts'], ['node', 'server.js', '--watch'], ['./bin/server'], ['./bin/npm'], ['bin/timeout', '3'],
    ['/usr/bin/node', 'x.js'], ['bun', 'server.ts'], ['bun', 'run', './server.ts'], ['deno', 'run', 'server.ts'], ['python3', 'app.py'],
    ['sh', '-c', 'exec node server.js'], ['bash', '-lc', 'cd x && A=b exec node server.js'], ['sh', 'start.sh'],
    ['env', 'A=b', 'node', 'server.js'], ['nice', '-n', '5', 'node', 'server.js'], ['node', 'node_modules/next/dist/bin/next', 'start'],
    ['node', '-r', 'dotenv/config', 'server.js'],
  ])('%s %s %s %s', (...command) => {
    const argv = command.filter((word) => word !== undefined)
    expect(read(commanded(argv)).command).toEqual(argv)
  })
})

describe('commands that lose the sockets', () => {
  test.each<[string[], string]>([
    [['npm', 'start'], 'write command = ["node", "server.js"]'],
    [['/usr/bin/npm', 'run', 'start', '--', '--port', '80'], 'write command = ["node", "server.js", "--port", "80"]'],
    [['npm', '--silent', 'run', '-s', 'start'], 'write command = ["node", "server.js"]'],
    [['pnpm', 'prod'], 'write command = ["node", "--enable-source-maps", "dist/main.js"]'],
    [['yarn', 'tsx'], 'write command = ["node", "--import", "tsx", "src/server.ts"]'],
    [['npm', 'run', 'next'], 'write command = ["./node_modules/.bin/next", "start", "-p", "3000"]'],
    [['npm', 'run', 'dotenv'], 'write command = ["node", "server.js"]'],
    [['npm', 'run', 'shell'], 'start what its script runs, `node build.js && node server.js`'],
    [['npm', 'run', 'loop'], 'start what its script runs'],
    [['npm', 'run', 'ping'], 'start what its script runs'],
    [['npm', 'run', '__proto__'], 'such as command = ["node", "server.js"]'],
    [['npm'], 'such as command = ["node", "server.js"]'],
    [['npx', '-y', 'serve', '-l', '80'], 'write command = ["./node_modules/.bin/serve", "-l", "80"]'],
    [['npx', 'tsx', 'server.ts'], 'write command = ["node", "--import", "tsx", "server.ts"]'],
    [['npx'], 'loses the inherited sockets'],
    [['bun', 'start'], 'write command = ["node", "server.js"]'],
    [['bun', 'run', 'start'], 'write command = ["node", "server.js"]'],
    [['deno', 'task', 'start'], '"deno", "run"'],
    [['tsx', 'server.ts', '-p', '1'], 'write command = ["node", "--import", "tsx", "server.ts", "-p", "1"]'],
    [['tsx', 'watch', '--env-file=.env', 'server.ts'], 'write command = ["node", "--import", "tsx", "--env-file=.env", "server.ts"]'],
    [['tsx'], '"--import", "tsx"'],
    [['./node_modules/.bin/tsx', 'server.ts'], 'write command = ["node", "--import", "tsx", "server.ts"]'],
    [['node', 'node_modules/.bin/tsx', 'server.ts'], 'write command = ["node", "--import", "tsx", "server.ts"]'],
    [['node', 'node_modules/tsx/dist/cli.mjs', 'server.ts'], 'write command = ["node", "--import", "tsx", "server.ts"]'],
    [['ts-node', '--files', 'server.ts'], 'write command = ["node", "--import", "tsx", "server.ts"]'],
    [['nodemon', 'server.js', 'a'], 'write command = ["node", "server.js", "a"]'],
    [['nodemon', '--exec', 'x', 'server.js'], 'such as'],
    [['pm2', 'start', 'server.js', '--name', 'shop', '--', '--port', '80'], 'write command = ["node", "server.js", "--port", "80"]'],
    [['forever', 'server.js'], 'write command = ["node", "server.js"]'],
    [['node', '--watch', 'server.js'], 'write command = ["node", "server.js"]'],
    [['node', '--watch-path=src', '--inspect', 'server.js'], 'write command = ["node", "--inspect", "server.js"]'],
    [['node', '--run', 'start'], 'write command = ["node", "server.js"]'],
    [['concurrently', 'a', 'b'], 'start one program per app'],
    [['cross-env', 'A=b', 'node', 'server.js'], 'variables belong into `env`: write command = ["node", "server.js"]'],
    [['cross-env', 'A=b'], 'variables belong'],
    [['dotenv', 'node', 'server.js'], 'write command = ["node", "server.js"]'],
    [['env', 'A=b', 'npm', 'start'], 'write command = ["node", "server.js"]'],
    [['sh', '-c', 'node server.js'], 'write command = ["node", "server.js"]'],
    [['bash', '-c', 'prepare; node server.js; true'], 'put exec before the last command'],
    [['sh', '-c', 'exec node a.js; node server.js'], 'put exec'],
    [['sh', '-c', 'exec node server.js | tee log'], 'put exec'],
    [['sh', '-c', 'exec node server.js &'], 'put exec'],
    [['sudo', '-u', 'shop', 'node', 'server.js'], 'name the account in `user`'],
    [['timeout', '5', 'node', 'server.js'], 'loses'],
    [['docker', 'run', 'x'], 'has the app run elsewhere'],
    [['nest', 'start'], 'write command = ["node", "dist/main.js"]'],
    [['fnm', 'exec', 'node', 'x'], 'start node itself'],
  ])('%j', (command, expected) => {
    const message = refuse(commanded(command), { scripts })
    expect(message).toMatch(/^holdfast\.toml:2: command: /)
    expect(message).toContain(expected)
    expect(message.split('\n')).toHaveLength(1)
  })
})

describe('what is no command', () => {
  test.each<[string, string]>([
    ['"node server.js"', 'write command = ["node", "server.js"]'],
    ['"npm start"', 'write command = ["node", "server.js"]'],
    ['"node x && y"', 'write command = ["node", "server.js"]'],
    ['[]', 'names no program'],
    ['[""]', 'names no program'],
    ['["node", 3000]', 'holdfast.toml:2: command[1]: expected a string, got 3000: put quotes around it, "3000"'],
    ['["node", "a\\u0000b"]', 'a NUL'],
    ['["node server.js"]', 'write command = ["node", "server.js"]'],
    ['["-node"]', 'systemd would take'],
    ['["@node"]', 'systemd would take'],
    ['["+node"]', 'systemd would take'],
    ['["no\\nde"]', 'control characters'],
    ['["~/bin/x"]', 'systemd would take'],
    ['["./bin/"]', 'is a folder'],
    ['["../bin/server"]', 'outside the release directory'],
    ['["bin/../../server"]', 'outside the release directory'],
    ['{ a = 1 }', 'expected a list, got a table'],
    ['5', 'expected a list, got 5'],
  ])('%s', (command, expected) => {
    expect(refuse(write().replace('["node", "server.js"]', command), { scripts })).toContain(expected)
  })
})

test.each<[string, string[] | undefined]>([
  ['node server.js', ['node', 'server.js']],
  ["node 'a b' --x=\"c d\"e", ['node', 'a b', '--x=c de']],
  ['  ', []],
  ['node $X', undefined],
  ['node "$X"', undefined],
  ['a | b', undefined],
  ['a; b', undefined],
  ['a *.js', undefined],
  ["a 'b", undefined],
  ['a # b', undefined],
])('splitWords %j', (text, words) => expect(splitWords(text)).toEqual(words))

test('a huge command is read at once', () => {
  expect(splitWords('a '.repeat(30_000))).toHaveLength(30_000)
  expect(splitWords('a'.repeat(60_000) + '$')).toBeUndefined()
  expect(resolveScript('A=b '.repeat(15_000), {})).toBeUndefined()
})
