// `call` through supabase-js: the chain that the list writes as data.
const OPTIONED = {
  select: (at, given) => (typeof given === "string" ? at.select(given) : at.select(given.columns ?? "*", rest(given, "columns"))),
  insert: (at, given) => at.insert(given.values, rest(given, "values")),
  upsert: (at, given) => at.upsert(given.values, rest(given, "values")),
  update: (at, given) => at.update(given.values, rest(given, "values")),
  delete: (at, given) => at.delete(given),
  rpc: (at, { fn, args, ...options }) => at.rpc(fn, args ?? {}, options),
  order: (at, given) => (typeof given === "string" ? at.order(given) : at.order(given.column, rest(given, "column"))),
  limit: (at, given) => (Array.isArray(given) ? at.limit(given[0], { referencedTable: given[1] }) : at.limit(given)),
  or: (at, given) => (Array.isArray(given) ? at.or(given[0], { referencedTable: given[1] }) : at.or(given)),
};

function rest(given, key) {
  const { [key]: _, ...options } = given;
  return options;
}

function apply(at, name, given) {
  if (OPTIONED[name]) return OPTIONED[name](at, given);
  if (given === true) return at[name]();
  return Array.isArray(given) ? at[name](...given) : at[name](given);
}

export async function call(client, chain) {
  client.forget();
  let at = client.supabase;
  for (const step of chain) {
    const [[name, given]] = Object.entries(step);
    at = apply(at, name, given);
  }
  const { data, count, error } = await at;
  const { code, message, details, hint } = error ?? {};
  return { data, count, error: error && { code, message, details, hint }, ...client.told() };
}
