export const dynamic = 'force-dynamic'

export default async function Page() {
  return <p>{`hello from ${process.pid}`}</p>
}
