// `auth` and `admin` through supabase-js.
export async function auth(client, method, given) {
  return ask(client, client.supabase.auth, method, given);
}

export async function admin(client, method, given) {
  return ask(client, client.supabase.auth.admin, method, given);
}

async function ask(client, on, method, given) {
  client.forget();
  const { data, error } = await on[method](...given);
  const told = error && { code: error.code ?? null, message: error.message, name: error.name };
  return { data: error ? null : (data ?? null), error: told, ...client.told() };
}
