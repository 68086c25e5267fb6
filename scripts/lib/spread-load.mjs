// The clients of scripts/spread. Each tells of every answer which process gave it and how long it took.
import http from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** @typedef {{ process: string, ms: number, isFirst: boolean }} Answer isFirst: of its connection */

const tooLongMs = 10_000

/**
 * A new connection for each request, at random moments, whether the one before has been answered or not.
 * @param {number} port
 * @param {{ perSecond: number, seconds: number }} load
 * @returns {Promise<Answer[]>}
 */
export async function openConnections(port, { perSecond, seconds }) {
  const asked = []
  const began = performance.now()
  for (let at = 0; ;) {
    at += (-Math.log(1 - Math.random()) * 1000) / perSecond
    if (at > seconds * 1000) return Promise.all(asked)
    const waitMs = began + at - performance.now()
    if (waitMs > 0) await delay(waitMs)
    asked.push(ask(port, false, true))
  }
}

/**
 * Keep-alive connections, each of which asks again 20 to 60 ms after an answer.
 * @param {number} port
 * @param {{ size: number, apartMs: number, seconds: number }} pool apartMs: from the opening of one connection to the next
 * @returns {Promise<Answer[]>}
 */
export async function keepConnections(port, { size, apartMs, seconds }) {
  const end = performance.now() + size * apartMs + seconds * 1000
  const connections = Array.from({ length: size }, async (_, index) => {
    if (apartMs > 0) await delay(index * apartMs)
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const answers = []
    do {
      answers.push(await ask(port, agent, answers.length === 0))
      await delay(20 + Math.random() * 40)
    } while (performance.now() < end)
    agent.destroy()
    return answers
  })
  return (await Promise.all(connections)).flat()
}

function ask(port, agent, isFirst) {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: '127.0.0.1', agent, timeout: tooLongMs }, (response) => {
      response.on('error', reject).resume().on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`))
        else resolve({ process: response.headers['x-process'], ms: performance.now() - began, isFirst: isFirst || !request.reusedSocket })
      })
    })
    request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer within ${tooLongMs} ms`)))
  })
}
