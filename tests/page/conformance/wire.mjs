// supabase-js with an ear on the wire: with which status and headers the last request was answered.
import { createClient } from "@supabase/supabase-js";

export class Wired {
  // `spec` names the key: `key` or `key+bearer`.
  constructor(target, spec, name) {
    this.forget();
    const [key, bearer] = spec.split("+");
    const headers = bearer ? { Authorization: `Bearer ${target.keys[bearer]}` } : {};
    this.supabase = createClient(target.url, target.keys[key], {
      auth: { persistSession: false, autoRefreshToken: false, storageKey: name },
      global: { headers, fetch: (...request) => this.ask(...request) },
    });
  }

  async ask(...request) {
    const answer = await fetch(...request);
    this.status = answer.status;
    this.headers = Object.fromEntries(answer.headers);
    return answer;
  }

  forget() {
    this.status = null;
    this.headers = {};
  }

  told() {
    return { status: this.status, headers: this.headers };
  }

  async close() {
    await this.supabase.removeAllChannels();
    await this.supabase.realtime.disconnect();
  }
}
