// Two servers: one on WEB_PORT, and a little later one on the unix path ADMIN_PATH.
import http from 'node:http'

const web = http.createServer((_, response) => response.end('web'))
web.listen(Number(process.env.WEB_PORT), () => {
  http.createServer((_, response) => response.end('admin')).listen(process.env.ADMIN_PATH)
})
