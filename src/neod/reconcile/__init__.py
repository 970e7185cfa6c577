"""Reconciling: make the kernel what one file says, and keep it so.

    file ──compile──►┐                                     ┌── kernel ◄──────────────┐
                     ├─► desired ──┐           ┌─ observed ◄┘ observe                 │
    facts ─compile──►┘             ├─► diff ◄──┘                                      │
      ▲                                 │                                             │
      │                               order ─► plan ─► apply ──batches of requests────┘
      │                                         │        │
      │                                      blocked   outcomes
      └── leases, NICs, MPTCP                   └──┬─────┘
                                                record ─► report, status, next attempt

      netlink, nftables, mounts, timers, DHCP, neodctl ──► HintQueue ──► the next pass

**A pass** takes what the queue holds and goes once around the picture. *Desired* (``desired``) is
what the file and the facts ask for, each key and spec in the form in which the kernel will report
it back, so that ``==`` means "in sync". *Observed* (``observed``) is what the kernel said at the
last read. *Diff* (``diff``) is pure: missing, modified, orphan, or a conflict with a foreign object.
*Order* (``order``) arranges the changes by what they require, deletions in reverse; what cannot be
done yet is blocked, and names what it waits for. *Apply* (``apply``) sends one batch a kind and
step; a refusal is an outcome, never an exception, and stops only what depends on it. What was made
is carried over into *observed*, so the pass after a repair has nothing to do. *Record* (``status``)
decides when a refused change is tried again (``backoff``), and when repairs of one object slow down
because somebody keeps undoing them (``contention``).

**A hint** says where to look: a key, a kind in a namespace, or everything. It carries a reason and
perhaps the process that caused it, and no data: events arrive late, twice, out of order, or not at
all, and a message of the past must not decide about the present. So the kernel is read again before
anything is written. Two shortcuts are safe because the kernel checks them: creating with NLM_F_EXCL
what was never seen, and trusting a deletion of such an object. Both fail with EEXIST, and then the
next pass reads. Lost events (ENOBUFS) are a hint at everything. What sends no event is polled
(``polls``), as often as a fixed share of one processor allows.

**Ownership** is a mark in the object itself (``Seen.owned``), set in the message that creates it. A
process without memory therefore knows its own objects. What is foreign is never written or deleted;
where it holds a wanted key, that is a conflict for the operator to settle. An owned object that nothing
asks for is an orphan and goes, unless a fact that is still missing may ask for it (``FactSource.guards``).

**What a pass costs** follows what changed, not what exists: hints limit what is read, ``DesiredState``
compiles only the fragments that need a changed fact, and the index of dependents names what hangs on
a link. Nothing on the way of a hint may walk over all keys. Everything is read at the start, every
``resync``, and after lost events.

**Pure but for its ports**: this package imports ``model`` and nothing else of neo. Drivers, clock and
facts are given to it (``ports``); asyncio is used for the turn of one pass, for batches of several
kinds at the same time, and for the timers of the queue. ``state`` is what is known between passes.
"""
