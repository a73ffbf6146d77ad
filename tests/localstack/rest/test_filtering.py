"""Horizontal filtering, as PostgREST's documentation on tables and views has it."""

from __future__ import annotations

import pytest

from tests.localstack.rest.conftest import Films


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("year=eq.1985", [2]),
        ("year=neq.1985", [1, 3, 5]),
        ("year=gt.1985", [5]),
        ("year=gte.1985", [2, 5]),
        ("year=lt.1962", [3]),
        ("year=lte.1962", [1, 3]),
        ("title=like.*k*", [3]),
        ("title=like.%25k%25", [3]),
        ("title=ilike.*I*", [3, 4, 5][:1]),
        ("title=match.^[CR]", [1, 2]),
        ("title=imatch.^[cr]", [1, 2]),
        ("year=isdistinct.1985", [1, 3, 4, 5]),
        ("year=not.isdistinct.1985", [2]),
        ("year=in.(1952,1985)", [2, 3]),
        ('title=in.("Lost, \\"quoted\\"",Ran)', [2, 5]),
        ("year=in.()", []),
        ("year=not.in.(1952,1985)", [1, 5]),
        ("year=is.null", [4]),
        ("year=is.NULL", [4]),
        ("year=is.not_null", [1, 2, 3, 5]),
        ("year=not.is.null", [1, 2, 3, 5]),
        ("tags=cs.{paris}", [1]),
        ("tags=cd.{war,x}", [2, 4, 5]),
        ("tags=ov.{war,paris}", [1, 2]),
        ('info=cs.{"n": 2}', [2]),
        ("shown=cs.[3,4)", [1]),
        ("shown=ov.[4,6)", [1, 2]),
        ("shown=sl.[9,10)", [1, 2]),
        ("shown=sr.[6,7)", [4]),
        ("shown=nxr.[1,9)", [1, 2]),
        ("shown=nxl.[5,9)", [2, 4]),
        ("shown=adj.[9,20)", [2, 4]),
        ("title=fts.ran", [2]),
        ("title=plfts(english).ran", [2]),
        ("title=not.phfts(english).ran", [1, 3, 4, 5]),
        ("title=wfts(simple).ran%20or%20ikiru", [2, 3]),
    ],
)
async def test_each_operator(films: Films, query: str, found: list[int]) -> None:
    assert await films.ids(query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("title=like(any).{C*,R*}", [1, 2]),
        ("title=like(all).{*k*,I*}", [3]),
        ("year=eq(any).{1952,1985}", [2, 3]),
        ("year=gt(all).{1952,1962}", [2, 5]),
        ("title=not.ilike(any).{c*,r*}", [3, 4, 5]),
        ("title=match(any).{^C,^R}", [1, 2]),
    ],
)
async def test_operator_modifiers_any_and_all(films: Films, query: str, found: list[int]) -> None:
    assert await films.ids(query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("year=gte.1960&year=lt.1990", [1, 2]),
        ("or=(year.eq.1952,year.eq.1985)", [2, 3]),
        ("and=(year.gte.1960,or(rating.gt.8,title.like.C*))", [1, 2]),
        ("not.or=(year.eq.1952,year.eq.1985)", [1, 5]),
        ("not.and=(year.gte.1960,year.lt.1990)", [3, 5]),
        ("or=(year.lt.1960,not.and(year.gt.1960,year.lt.1990))", [3, 5]),
        ("or=(year.is.null,title.in.(Ran,Ikiru))", [2, 3, 4]),
        ('or=(title.eq."Lost, \\"quoted\\"",id.eq.1)', [1, 5]),
        ("or=(tags.cs.{war},tags.ov.{paris,x})", [1, 2, 5]),
        ("or=(title.not.like.*a*,id.eq.2)", [1, 2, 3, 4, 5][:5]),
        ("and=( year.gte.1960 , year.lt.1990 )", [1, 2]),
        ("or=(info->>s.eq.x,info->n.eq.2)", [1, 2]),
        ("or=(year.eq.1952)&or=(id.eq.3)", [3]),
        ("title=not.eq.Ran&or=(title.imatch.^r,year.gt.1980)", [5]),
    ],
)
async def test_logical_operators_nest(films: Films, query: str, found: list[int]) -> None:
    assert await films.ids(query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("info->a->b->0=eq.10", [1]),
        ("info->a->b->>-1=eq.20", [1]),
        ("info->>s=eq.x", [1]),
        ("info->>s=is.null", [2, 3, 4, 5]),
        ("info->n=gt.2", [4, 5]),
        ("raw->>k=eq.v", [1]),
        ("tags->>0=eq.war", [2]),
        ('info->>"s"=like.*x*', [1]),
    ],
)
async def test_json_paths_in_filters(films: Films, query: str, found: list[int]) -> None:
    assert await films.ids(query) == found


async def test_reserved_characters_are_quoted(films: Films) -> None:
    assert await films.ids('title=eq.Lost, "quoted"') == [5]
    assert await films.ids("title=eq.Nobody's") == [4]
    strange = 'select="c\\"d","e,f","g.h",naïve,"a%25b"&"e,f"=eq.comma&"g.h"=in.(dot)&"a%25b"=like.p*'
    row = {'c"d': "quote", "e,f": "comma", "g.h": "dot", "naïve": "umlaut", "a%b": "percent"}
    assert await films.rows(strange, "strange%20table") == [row]


async def test_a_view_is_filtered_like_a_table(films: Films) -> None:
    assert await films.rows("select=title&year=gt.1960", "old_films") == [{"title": "Cléo"}]


async def test_computed_columns_read_like_columns(films: Films) -> None:
    rows = await films.rows("select=full_name,n:full_name&full_name=like.*Varda&order=full_name", "directors")
    assert rows == [{"full_name": "Agnès Varda", "n": "Agnès Varda"}]


@pytest.mark.parametrize(
    ("query", "column", "details"),
    [
        ("year=1985", 1, 'unexpected "1" expecting "not" or operator (eq, gt, ...)'),
        ("year=nope.1", 1, 'unexpected "n" expecting "not" or operator (eq, gt, ...)'),
        ("year=in.1,2", 4, 'unexpected "1" expecting "("'),
        ("year=is.maybe", 4, 'unexpected "m" expecting isVal: (null, not_null, true, false, unknown)'),
        ("order=year.up", 6, 'unexpected "u" expecting "asc", "desc", "nullsfirst" or "nullslast"'),
        ("order=year.asc.up", 10, 'unexpected "u" expecting "nullsfirst" or "nullslast"'),
        ("order=year.descc", 10, 'unexpected "c" expecting delimiter (.), "," or end of input'),
        ("select=title::", 8, "unexpected end of input expecting letter or digit"),
        ("select=title,:", 7, 'unexpected ":" expecting field name (* or [a..z0..9_$])'),
    ],
)
async def test_pgrst100_says_where_and_what(films: Films, query: str, column: int, details: str) -> None:
    what = {"year": "filter", "order": "order", "select": "select parameter"}[query.partition("=")[0]]
    value = query.partition("=")[2]
    assert await films.refused(query) == {
        "status": 400,
        "code": "PGRST100",
        "details": details,
        "hint": None,
        "message": f'"failed to parse {what} ({value})" (line 1, column {column})',
    }


async def test_a_logic_tree_that_does_not_parse_is_pgrst100(films: Films) -> None:
    for query in ("or=()", "or=(year.eq.1", "and=(or)", "or=(year.nope.1)", "or=(year.eq.1))", "or=)("):
        body = await films.refused(query)
        assert (body["status"], body["code"]) == (400, "PGRST100"), query
        assert body["message"].startswith('"failed to parse logic tree (')
