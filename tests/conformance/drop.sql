-- Takes away what schema.sql made.
begin;
do $$
begin
  if to_regclass('realtime.messages') is not null then
    drop policy if exists conf_read on realtime.messages;
    drop policy if exists conf_write on realtime.messages;
  end if;
end
$$;
drop function if exists conf_reset(), conf_add(int, int), conf_films_since(int), conf_film(int), conf_pairs(),
  conf_pair(), conf_count_to(int), conf_nothing(), conf_null(), conf_echo(jsonb), conf_total(int[]), conf_whoami(),
  conf_take(text), conf_twin(int), conf_twin(text), conf_sleep(float), conf_raise(text, text),
  conf_raise_http(text, text), conf_members_only(), conf_announce(text, text, jsonb);
drop view if exists conf_old_films;
drop table if exists conf_reviews, conf_stock, conf_film_genres, conf_genres, conf_films, conf_duels, conf_directors, conf_notes, conf_vault,
  conf_events, conf_ledger, conf_unpublished;
commit;
notify pgrst, 'reload schema';
