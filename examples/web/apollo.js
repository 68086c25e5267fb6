// Apollo Server on Express: queries and mutations by HTTP, subscriptions by graphql-ws, and its drain plugins.
import http from 'node:http'
import { ApolloServer } from '@apollo/server'
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer'
import { expressMiddleware } from '@as-integrations/express5'
import { makeExecutableSchema } from '@graphql-tools/schema'
import express from 'express'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const typeDefs = `
  type Query { hello: String!, slow: String! }
  type Mutation { count(text: String!): String! }
  type Subscription { tick: Int! }`
const resolvers = {
  Query: {
    hello: () => `hello from ${process.pid}`,
    slow: () => sleep(1000).then(() => `slow from ${process.pid}`),
  },
  Mutation: { count: (_, { text }) => `${text.length} characters, answered from ${process.pid}` },
  Subscription: {
    tick: {
      async *subscribe() {
        for (;;) {
          yield { tick: process.pid }
          await sleep(100)
        }
      },
    },
  },
}
const schema = makeExecutableSchema({ typeDefs, resolvers })

const app = express()
const server = http.createServer(app)
const subscriptions = useServer({ schema }, new WebSocketServer({ server, path: '/graphql' }))
const apollo = new ApolloServer({
  schema,
  plugins: [
    ApolloServerPluginDrainHttpServer({ httpServer: server, stopGracePeriodMillis: 500 }),
    {
      async serverWillStart() {
        return {
          async drainServer() {
            console.log('drainServer: closing subscriptions')
            await subscriptions.dispose()
          },
        }
      },
    },
  ],
})
await apollo.start()
app.use('/graphql', express.json({ limit: '1mb' }), expressMiddleware(apollo))
// Apollo stops by itself on SIGTERM, and raises the signal again when it has.
server.listen(process.env.PORT ?? 3000)
