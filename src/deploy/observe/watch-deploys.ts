import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AppPaths } from '../../release/paths.js'
import { EventReader, eventsFile } from '../operation/deploy-events.js'
import type { DeployEvent } from '../operation/progress.js'

/** The events of an app's deploys as they come, whoever began them. Root alone may read them. */
export class DeployWatch {
  private readonly readers = new Map<string, EventReader>()

  /** @param underWay the deploy whose events are told from its begin; those that are over are not told of */
  constructor(private readonly paths: AppPaths, underWay: string | undefined) {
    for (const id of this.ids()) {
      const reader = this.follow(id)
      if (id !== underWay) reader.read()
    }
  }

  /** What has come since the last call, with the id of its deploy. */
  read(): { id: string; event: DeployEvent }[] {
    const ids = this.ids()
    for (const id of this.readers.keys()) if (!ids.includes(id)) this.readers.delete(id)
    return ids.flatMap((id) => (this.readers.get(id) ?? this.follow(id)).read().map((event) => ({ id, event })))
  }

  private follow(id: string): EventReader {
    const reader = new EventReader(eventsFile(this.paths, id))
    this.readers.set(id, reader)
    return reader
  }

  /** Ids begin with a time: the oldest first. */
  private ids(): string[] {
    try {
      return readdirSync(dirname(eventsFile(this.paths, 'x'))).filter((name) => name.endsWith('.jsonl')).map((name) => name.slice(0, -'.jsonl'.length)).sort()
    } catch {
      return []
    }
  }
}
