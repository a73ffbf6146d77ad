// A signed-in page: lists jobs, presses Run, watches the request live, asks for the rest. Prints one JSON object.
import { createClient } from "@supabase/supabase-js";

const { URL_, KEY, PROJECT, EMAIL, PASSWORD } = process.env;
const supabase = createClient(URL_, KEY, { auth: { persistSession: false } });
const seen = [];

function must({ data, error, count }) {
  if (error) throw new Error(JSON.stringify(error));
  return count ?? data;
}

const { user } = must(await supabase.auth.signInWithPassword({ email: EMAIL, password: PASSWORD }));
const filter = `project_id=eq.${PROJECT}`;
const channel = supabase
  .channel("cron")
  .on("postgres_changes", { event: "*", schema: "public", table: "cron_run_requests", filter }, (change) =>
    seen.push([change.eventType, change.new.status]),
  )
  .on("postgres_changes", { event: "*", schema: "public", table: "cron_mirror", filter }, () => {});
await new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error("no `Subscribed to PostgreSQL` within 10 s")), 10_000);
  channel.on("system", {}, (message) => {
    if (message.status === "ok") {
      clearTimeout(late);
      resolve();
    }
  });
  channel.subscribe((status, error) => {
    if (error) reject(error);
  });
});

const jobs = must(await supabase.from("cron_mirror").select("*").eq("project_id", PROJECT).order("job_id"));
const { id } = must(
  await supabase
    .from("cron_run_requests")
    .insert({ project_id: PROJECT, job_id: "hello", requested_by: "ui", status: "queued" })
    .select("id")
    .single(),
);
const deadline = Date.now() + 15_000;
let request;
do {
  if (Date.now() > deadline) throw new Error(`still ${request?.status}`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  request = must(await supabase.from("cron_run_requests").select("*").eq("id", id).single());
} while (!["done", "error"].includes(request.status));
while (!seen.some(([, status]) => status === "done") && Date.now() < deadline) {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

const recent = must(
  await supabase
    .from("cron_runs")
    .select("job_id,status")
    .eq("project_id", PROJECT)
    .in("status", ["ok", "error"])
    .gte("started_at", "2020-01-01T00:00:00Z")
    .order("started_at", { ascending: false })
    .limit(5),
);
const page = must(await supabase.rpc("get_cron_jobs", { p_project: PROJECT }));
const runs = must(await supabase.rpc("get_cron_job_runs", { p_project: PROJECT, limit_count: 5 }));
const refused = await supabase.from("cron_run_requests").update({ status: "done" }).eq("id", id).select();
const missing = await supabase.from("cron_run_requests").select("*").eq("id", crypto.randomUUID()).single();
await supabase.removeChannel(channel);
await supabase.auth.signOut();
console.log(
  JSON.stringify({
    email: user.email,
    jobs: jobs.map((job) => job.job_id),
    request: { status: request.status, stdout: request.result.stdout_tail },
    seen,
    recent,
    page: page.jobs.map((job) => job.jobid),
    runs: runs.length,
    refused: refused.error?.code,
    missing: missing.error?.code,
  }),
);
process.exit(0);
