// Realtime through supabase-js: channels, what they hear, presence.
const PATIENCE_MS = 15_000;

export async function until(condition) {
  const end = Date.now() + PATIENCE_MS;
  while (!condition() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  return condition();
}

export class Ear {
  heard = [];
  states = [];
  trouble = null;
  system = [];
  wantsChanges = false;

  constructor(client, step) {
    this.channel = client.supabase.channel(step.topic, { config: step.config });
    step.bind.forEach((binding, number) => this.listen(number, binding));
    this.channel.on("system", {}, (told) => {
      if (told.extension === "postgres_changes") this.system.push(told.message);
    });
  }

  listen(number, binding) {
    if (binding.changes) {
      this.wantsChanges = true;
      const wanted = { event: "*", schema: "public", ...binding.changes };
      this.channel.on("postgres_changes", wanted, (told) =>
        this.heard.push({ by: number, type: told.eventType, new: told.new, old: told.old }),
      );
    }
    if (binding.broadcast)
      this.channel.on("broadcast", { event: binding.broadcast }, ({ event, payload }) =>
        this.heard.push({ by: number, event, payload: plain(payload) }),
      );
    if (binding.presence) this.channel.on("presence", { event: "sync" }, () => {});
  }

  async subscribe() {
    this.channel.subscribe((state, error) => {
      this.states.push(state);
      if (error) this.trouble ??= error.message;
    });
    await until(() => this.states.length > 0);
    if (this.wantsChanges && this.states.at(-1) === "SUBSCRIBED")
      await until(() => this.system.length > 0 || this.states.length > 1);
    return { state: this.states[0] ?? "nothing", trouble: this.trouble, system: this.system.at(-1) ?? null };
  }

  async hear(first) {
    await until(() => this.heard.length >= first);
    return [...this.heard];
  }

  async present(keys) {
    const same = () => Object.keys(this.channel.presenceState()).sort().join() === [...keys].sort().join();
    await until(same);
    const state = Object.entries(this.channel.presenceState());
    return Object.fromEntries(state.map(([key, metas]) => [key, metas.map(({ presence_ref: _, ...meta }) => meta)]));
  }
}

function plain(payload) {
  return payload instanceof ArrayBuffer ? { base64: Buffer.from(payload).toString("base64") } : payload;
}

function bytes(payload) {
  return payload?.base64 === undefined ? payload : Uint8Array.from(Buffer.from(payload.base64, "base64")).buffer;
}

const DOING = {
  hear: async (ear, step) => ear.hear(step.first),
  present: async (ear, step) => ear.present(step.keys),
  say: async (ear, step) => void (await ear.channel.send({ type: "broadcast", event: step.event, payload: bytes(step.payload) })),
  track: async (ear, step) => void (await ear.channel.track(step.payload)),
  untrack: async (ear) => void (await ear.channel.untrack()),
};

export async function live(client, ears, step) {
  const name = step[step.verb];
  if (step.verb === "join") {
    ears[name] = new Ear(client, step);
    return { data: await ears[name].subscribe() };
  }
  if (step.verb === "token") return { data: void (await client.supabase.realtime.setAuth(name)) ?? null };
  if (step.verb === "leave") return { data: void (await client.supabase.removeChannel(ears[name].channel)) ?? null };
  if (step.verb === "post") return post(ears[name], step);
  return { data: (await DOING[step.verb](ears[name], step)) ?? null };
}

async function post(ear, step) {
  try {
    await ear.channel.httpSend(step.event, bytes(step.payload));
    return { data: null };
  } catch (error) {
    return { error: { message: error.message } };
  }
}
