import { after } from 'next/server'

export async function POST(request) {
  const { byteLength } = await request.arrayBuffer()
  // Runs once the answer is sent.
  after(() => console.log(`after: ${byteLength} bytes`))
  return new Response(`${byteLength} bytes, answered from ${process.pid}\n`)
}
