// NestJS with enableShutdownHooks(). Decorators are applied by hand: plain node runs this file, what TypeScript emits does the same.
import 'reflect-metadata'
import { Controller, Get, Module, Post, Req } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'

class HelloController {
  hello() {
    return `hello from ${process.pid}\n`
  }

  async slow() {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return `slow from ${process.pid}\n`
  }

  count(request) {
    return `${request.rawBody?.length ?? 0} bytes, answered from ${process.pid}\n`
  }

  async beforeApplicationShutdown(signal) {
    console.log(`beforeApplicationShutdown: ${signal}`)
  }

  async onApplicationShutdown() {
    console.log('onApplicationShutdown: closing the database')
  }
}

const decorate = (method, ...decorators) => {
  const property = Object.getOwnPropertyDescriptor(HelloController.prototype, method)
  for (const decorator of decorators) decorator(HelloController.prototype, method, property)
}
decorate('hello', Get('/'))
decorate('slow', Get('/slow'))
decorate('count', Post('/'))
Req()(HelloController.prototype, 'count', 0)
Controller()(HelloController)

class AppModule {}
Module({ controllers: [HelloController] })(AppModule)

const app = await NestFactory.create(AppModule, { rawBody: true, forceCloseConnections: true })
app.useBodyParser('raw', { type: () => true })
app.enableShutdownHooks()
await app.listen(process.env.PORT ?? 3000)
