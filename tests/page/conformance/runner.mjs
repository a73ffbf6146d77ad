// The list through supabase-js: {target, scenarios} as JSON on standard input, results by name as JSON on standard output.
// What has to come of a step is not known here (tests/conformance/verdict.py).
import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";
import { text } from "node:stream/consumers";
import { admin, auth } from "./auth.mjs";
import { live } from "./live.mjs";
import { call } from "./rest.mjs";
import { Wired } from "./wire.mjs";
import { at, filled } from "./words.mjs";

const SCENARIO_MS = 60_000;
const PEOPLE = ["ann", "bob"];

function act(client, ears, step) {
  if (step.verb === "call") return call(client, step.call);
  if (step.verb === "auth") return auth(client, step.auth, step.with);
  if (step.verb === "admin") return admin(client, step.admin, step.with);
  return live(client, ears, step);
}

async function play(target, shared, scenario) {
  const saved = { u: randomUUID().replaceAll("-", "").slice(0, 12), keys: target.keys, ...target.people };
  const outcome = { steps: [], saved, broken: null };
  const own = {};
  const ears = {};
  async function steps() {
    const { error } = await shared.service.supabase.rpc("conf_reset");
    if (error) throw new Error(`conf_reset: ${error.message}`);
    for (const [name, key] of Object.entries(scenario.clients)) own[name] = new Wired(target, key, `${saved.u}-${name}`);
    for (const raw of scenario.steps) {
      const step = filled(raw, saved);
      const client = { ...shared, ...own }[step.as ?? scenario.as];
      const result = await act(client, ears, step);
      outcome.steps.push(result);
      for (const [name, path] of Object.entries(step.save ?? {})) saved[name] = at(result, path);
    }
  }
  let alarm;
  const late = new Promise((_, reject) => {
    alarm = setTimeout(() => reject(new Error("no end within 60 s")), SCENARIO_MS);
  });
  try {
    await Promise.race([steps(), late]);
  } catch (error) {
    outcome.broken = `${error.name}: ${error.message}`;
  }
  clearTimeout(alarm);
  for (const ear of Object.values(ears)) await ear.channel.unsubscribe();
  for (const client of Object.values(own)) await client.close();
  return outcome;
}

const { target, scenarios } = JSON.parse(await text(process.stdin));
const shared = {};
for (const [name, key] of Object.entries({ anon: "publishable", service: "secret", ann: "publishable", bob: "publishable" }))
  shared[name] = new Wired(target, key, name);
for (const name of PEOPLE) {
  const { email, password } = target.people[name];
  const { error } = await shared[name].supabase.auth.signInWithPassword({ email, password });
  if (error) throw error;
}
const outcomes = {};
for (const scenario of scenarios) outcomes[scenario.name] = await play(target, shared, scenario);
const version = createRequire(import.meta.url)("@supabase/supabase-js/package.json").version;
process.stdout.write(JSON.stringify({ outcomes, node: process.version, client: version }));
for (const client of Object.values(shared)) await client.close();
process.exit(0);
