import { after } from 'next/server'

export const dynamic = 'force-dynamic'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export default async function Page() {
  await sleep(1000)
  // Goes on when the answer has been sent.
  after(async () => {
    await sleep(500)
    console.log('after: slow page counted')
  })
  return <p>{`slow from ${process.pid}`}</p>
}
