/** Fills that go on although nobody waits for them: few, and of one client fewer. */

const mostOfClient = 8;
const most = 32;

export class Deserted {
  /** Whose each of them is: the client's who left last. */
  readonly #clients: string[] = [];

  /** Takes one in; the returned function takes it out again, once or more often. Undefined when there are enough of them. */
  enter(client: string): (() => void) | undefined {
    const own = this.#clients.filter((one) => one === client).length;
    if (own >= mostOfClient || this.#clients.length >= most) return undefined;
    this.#clients.push(client);
    let isIn = true;
    return () => {
      if (isIn) this.#clients.splice(this.#clients.indexOf(client), 1);
      isIn = false;
    };
  }
}
