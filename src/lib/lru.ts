/** Memories that forget what was used least recently. */
import { LRUCache } from 'lru-cache';

/** Of at most `most` entries. With `max`, LRUCache lays out all of them at once, which costs a start with many upstreams seconds. */
export function lruOf<K extends {}, V extends {}>(most: number): LRUCache<K, V> {
  return new LRUCache<K, V>({ maxSize: most, sizeCalculation: () => 1 });
}
