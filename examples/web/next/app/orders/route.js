export async function POST(request) {
  const { byteLength } = await request.arrayBuffer()
  return new Response(`${byteLength} bytes, answered from ${process.pid}\n`)
}
