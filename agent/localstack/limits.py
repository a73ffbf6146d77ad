"""Rate limits as token buckets, kept in memory: how often somebody may fail to sign in.

By address it is hosted Supabase's limit (30 at once, then 150 in five minutes), but only failures count: many agents
behind one address sign in as often as they like. By account there is a second one, which an attacker cannot turn
against its owner: an address at which the owner has signed in before has a bucket of its own.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

Clock = Callable[[], float]
MOST_KEYS = 10_000
IPV6_NETWORK = 64
"""One household or attacker has a whole /64."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`burst` at once, one more every `every_s` seconds."""

    burst: float
    every_s: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an installation allows."""

    by_address: Rate = Rate(burst=30, every_s=2)
    """Failed sign-ins and refreshes of one address."""
    by_account: Rate = Rate(burst=10, every_s=30)
    """Failed sign-ins to one account, from all unknown addresses together or from one known address."""
    sign_ups: Rate = Rate(burst=30, every_s=10)
    """Of one address."""
    own_changes: Rate = Rate(burst=30, every_s=10)
    """Of one user: a change of password tells whether the guess was the old one."""


DEFAULT = Limits()
UNLIMITED = Limits(**dict.fromkeys(Limits.__dataclass_fields__, Rate(burst=math.inf, every_s=1)))


class Buckets:
    """One bucket per key. The ones that were used longest ago are forgotten first, when there are too many."""

    def __init__(self, rate: Rate, *, clock: Clock = time.monotonic, most: int = MOST_KEYS) -> None:
        self._rate = rate
        self._clock = clock
        self._most = most
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, key: Hashable) -> float:
        """Seconds until one may be taken; 0 when one may be now."""
        return max(0.0, (1 - self._filled(key)) * self._rate.every_s)

    def take(self, key: Hashable) -> float:
        """Take one: 0 when there was one, else the seconds until there is, and nothing is taken."""
        wait = self.wait(key)
        if not wait:
            self._put(key, self._filled(key) - 1)
        return wait

    def give_back(self, key: Hashable) -> None:
        """It was no abuse after all."""
        self._put(key, min(self._rate.burst, self._filled(key) + 1))

    def _filled(self, key: Hashable) -> float:
        left, at = self._left.get(key, (self._rate.burst, 0.0))
        return min(self._rate.burst, left + (self._clock() - at) / self._rate.every_s)

    def _put(self, key: Hashable, left: float) -> None:
        self._left[key] = (left, self._clock())
        self._left.move_to_end(key)
        if len(self._left) > self._most:
            self._left.popitem(last=False)


class TooMany(Exception):
    """Not now; `wait_s` says when."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"again in {wait_s:.0f} s")
        self.wait_s = wait_s


class Attempts:
    """Counts failed attempts: each takes from the buckets before it is tried and gives back when it succeeds."""

    def __init__(
        self, limits: Limits, been_at: Callable[[str, str], Awaitable[bool]], *, clock: Clock = time.monotonic
    ) -> None:
        """`been_at(account, address)`: whether the account's owner is known there; asked only when it matters."""
        self._been_at = been_at
        self._addresses = Buckets(limits.by_address, clock=clock)
        self._accounts = Buckets(limits.by_account, clock=clock)
        self._sign_ups = Buckets(limits.sign_ups, clock=clock)
        self._own_changes = Buckets(limits.own_changes, clock=clock)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def sign_in(self, address: str, account: str) -> Callable[[], None]:
        """Begin one; call what is returned when it succeeded. TooMany refuses it before any password is compared."""
        succeeded = self.refresh(address)
        key: Hashable = (account, address) if (account, address) in self._known else account
        wait = self._accounts.take(key)
        if wait and key == account and await self._been_at(account, address):
            self._remember(account, address)
            key = (account, address)
            wait = self._accounts.take(key)
        if wait:
            raise TooMany(wait)

        def confirmed() -> None:
            succeeded()
            self._accounts.give_back(key)
            self._remember(account, address)

        return confirmed

    def refresh(self, address: str) -> Callable[[], None]:
        """The same where no account is named."""
        network = network_of(address)
        wait = self._addresses.take(network)
        if wait:
            raise TooMany(wait)
        return lambda: self._addresses.give_back(network)

    def sign_up(self, address: str) -> None:
        """Each counts, successful or not."""
        self._each(self._sign_ups, network_of(address))

    def own_change(self, user_id: str) -> None:
        """Each counts, successful or not."""
        self._each(self._own_changes, user_id)

    @staticmethod
    def _each(buckets: Buckets, key: Hashable) -> None:
        wait = buckets.take(key)
        if wait:
            raise TooMany(wait)

    def _remember(self, account: str, address: str) -> None:
        self._known[account, address] = None
        self._known.move_to_end((account, address))
        if len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)


def network_of(address: str) -> str:
    """The address, or the /64 of an IPv6 one."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> IPV6_NETWORK << IPV6_NETWORK)}/{IPV6_NETWORK}"
