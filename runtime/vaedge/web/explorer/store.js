/** The state of the page, and the listeners that are notified of its changes. */

/**
 * @typedef {object} State
 * @property {string} variant Name of the variant.
 * @property {Float32Array} x The input.
 * @property {string} source Origin of the input: "r0", "r1", ... for an example of the reference, otherwise "own".
 * @property {Float32Array} z The latents.
 * @property {string} seed Seed of the samples, decimal digits.
 * @property {Record<string, number[]>} conditions Elements of the value of each condition.
 * @property {number[]} pad The two latents that are shown and set by the pad, an area of the page.
 * @property {string[]} ends The two ends of the interpolation: "x" for the input, or "r0", "r1", ...
 */

export class Store {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    /** @type {{keys: (keyof State)[], listener: (changes: Partial<State>) => void}[]} */
    this.listeners = [];
  }

  /**
   * Call a function after each change of one of these fields.
   *
   * @param {(keyof State)[]} keys
   * @param {(changes: Partial<State>) => void} listener Receives all fields that changed together.
   */
  on(keys, listener) {
    this.listeners.push({ keys, listener });
  }

  /**
   * Change fields, and then notify each listener once.
   *
   * @param {Partial<State>} changes
   */
  set(changes) {
    Object.assign(this.state, changes);
    for (const { keys, listener } of this.listeners) {
      if (keys.some((key) => key in changes)) listener(changes);
    }
  }
}

/**
 * Return a function that runs asynchronous work. All calls during a run cause only one further run, which reads the
 * newest state. Therefore sliders never wait for outdated work.
 *
 * @param {() => Promise<void>} work
 * @param {(error: unknown) => void} report Receives the error of a run.
 * @returns {() => Promise<void>}
 */
export function latest(work, report) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } catch (error) {
      report(error);
    } finally {
      running = false;
    }
  };
}
