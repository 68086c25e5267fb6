import { describe, expect, it } from 'vitest'
import { readDeployWords } from '../../../src/cli/choose-app.js'

const read = (...words: string[]) => readDeployWords(words, ['shop', 'blog'], (path) => path === 'web' || path === 'blog')

describe('the words of a deploy', () => {
  it.each([
    [[], { app: undefined, source: undefined }],
    [['shop'], { app: 'shop', source: undefined }],
    [['shop', 'web'], { app: 'shop', source: 'web' }],
    [['web'], { app: undefined, source: 'web' }],
    [['./shop'], { app: undefined, source: './shop' }],
    [['-'], { app: undefined, source: '-' }],
    [['x.git'], { app: undefined, source: 'x.git' }],
    [['git@example.com:shop'], { app: undefined, source: 'git@example.com:shop' }],
    // Not installed, and so told.
    [['shpo'], { app: 'shpo', source: undefined }],
    [['Shop.zip'], { app: undefined, source: 'Shop.zip' }],
  ])('%j', (words, meant) => {
    expect(read(...words)).toEqual(meant)
  })
  it('are refused where they could mean two things, or stand the wrong way round', () => {
    expect(() => read('blog')).toThrow('blog is an app, and lies here as well')
    expect(() => read('./web', 'shop')).toThrow('./web is no app\'s name: the app stands before the source')
    expect(() => read('-', '-')).toThrow('- is no app\'s name')
  })
})
