-- Version 2: "is a report of this run still here?", asked of every run before it is forgotten.
create index outbox_run on outbox (run_id);
