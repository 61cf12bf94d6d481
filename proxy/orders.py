"""Orders of the operator: kick, move, drain, standby, flush and their kin."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from director import Refused
from proxy import screen
from proxy.asked import Asked
from proxy.listings import unmoved
from proxy.output import DONE, REFUSED
from proxy.tables import Row, amount, parts, printable
from proxy.targets import KICKABLE, canonical_user


def kick(asked: Asked) -> int:
    target = asked.target()
    whom = target.one_of(*KICKABLE)
    if target.kind == "backend" and not asked.agreed(_kick_question(asked, whom)):
        return _left_alone(asked)
    answer = asked.console.answer("kick", target=whom)
    text = f"{amount(answer.get('kicked'), 'session')} of {whom} on this node told to end"
    asked.answered(answer, f"{text}; other nodes are told, too")
    return DONE if answer.get("kicked") else REFUSED


def _kick_question(asked: Asked, name: str) -> str:
    backend = _backend(asked, name)
    return f"end {amount(backend.get('sessions'), 'session')} on {name}? Their users come back to it at once."


def _backend(asked: Asked, name: str) -> Row:
    for row in asked.console.rows("backends"):
        if row["backend"] == name:
            return row
    raise Refused(f"there is no backend {name}")


def _left_alone(asked: Asked) -> int:
    asked.screen.show(["nothing was done"])
    return REFUSED


def move(asked: Asked) -> int:
    user = canonical_user(asked.options.user, asked.settings)
    question = {"user": user, "backend": asked.options.backend}
    if not asked.options.dry_run:
        return _started(asked, asked.console.answer("move", dry=False, **question))
    return _planned(asked, asked.console.answer("move", dry=True, **question))


def drain(asked: Asked) -> int:
    backend = asked.options.backend
    plan = asked.console.answer("drain", backend=backend, dry=True)
    if asked.options.dry_run:
        return _planned(asked, plan)
    if not asked.agreed(f"drain {backend}: {_plan_words(plan)}. Go on?"):
        return _left_alone(asked)
    return _started(asked, asked.console.answer("drain", backend=backend, dry=False))


def _plan_words(plan: Row) -> str:
    where = parts({backend or "nowhere, for none can take them": n for backend, n in plan.get("to", {}).items()})
    whom = f"{amount(plan.get('users'), 'user')} with {amount(plan.get('sessions'), 'session')} on this node"
    doubt = "" if plan.get("complete", True) else "; the store went away meanwhile, so there may be more"
    return f"{whom} to move{f' (users to: {where})' if where else ''}{doubt}"


def _planned(asked: Asked, plan: Row) -> int:
    asked.answered(plan, f"would be done: {_plan_words(plan)}")
    return DONE


def _started(asked: Asked, started: Row) -> int:
    """Who has nowhere to go is not part of the move that has begun."""
    job, whither = str(started["job"]), started.get("to", {})
    stuck, going = whither.get("", 0), sum(whither.values()) - whither.get("", 0) if started.get("users") else 0
    if not (asked.options.wait and going):
        asked.answered(started, f"{job}: {_plan_words(started)}", *(_HINT if going else ()))
        return REFUSED if asked.options.wait and stuck else DONE
    code = _followed(asked, job)
    if stuck:
        print(f"vestibule: {amount(stuck, 'user')} stayed: no backend can take them", file=sys.stderr)
    return REFUSED if stuck else code


_HINT = ("`vestibule moves --watch` shows how far it is",)


def abort(asked: Asked) -> int:
    answer = asked.console.answer("abort", job=asked.options.job)
    asked.answered(answer, f"{asked.options.job} is given up: who has not been moved stays")
    return DONE


def _followed(asked: Asked, name: str) -> int:
    """Shows how far a move is until it is over; whether everybody was moved."""
    try:
        job = _find_job(asked, name)
        while not job.get("ended"):
            if not asked.options.json:
                asked.screen.progress(_progress_words(job))
            screen.pause(screen.LOOK_EVERY)
            job = _find_job(asked, name)
    except KeyboardInterrupt:
        asked.screen.settle()
        print(f"vestibule: it goes on by itself; `vestibule abort {name!r}` gives it up", file=sys.stderr)
        return REFUSED
    asked.screen.settle()
    reasons = (f"  {user}: {reason}" for user, reason in sorted(job.get("unmoved", {}).items()))
    asked.answered(job, _progress_words(job), *reasons)
    return REFUSED if unmoved(job) else DONE


def _find_job(asked: Asked, name: str) -> Row:
    for row in reversed(asked.console.rows("moves")):  # an earlier one of this name comes before it
        if row["job"] == name:
            return row
    raise Refused(f"the director knows nothing of {name} any more: it was restarted, or many others came after it")


def _progress_words(job: Row) -> str:
    over = job.get("over", {})
    words = [f"{over.get('moved', 0):,} of {amount(job.get('users'), 'user')} moved"]
    words += [text for text in (parts({k: n for k, n in over.items() if k != "moved"}),) if text]
    words += [text for text in (parts({**job.get("moving", {}), "waiting": job.get("waiting", 0)}),) if text]
    return printable(f"{job['job']}: {', '.join(words)}")


_ADMIN_WORDS: Mapping[str, str] = {
    "online": "is online: it gets users as its priority says",
    "standby": "is on standby: it keeps the users it has and gets no others",
    "offline": "is offline: its users are being moved away, and it gets no others",
}


def set_admin(asked: Asked) -> int:
    word, backend = asked.options.command, asked.options.backend
    if word == "offline":
        row = _backend(asked, backend)
        whom = f"{amount(row.get('users'), 'user')} with {amount(row.get('sessions'), 'session')}"
        if not asked.agreed(f"take {backend} offline? Then {whom} have to leave it."):
            return _left_alone(asked)
    answer = asked.console.answer(word, backend=backend)
    asked.answered(answer, f"{backend} {_ADMIN_WORDS[word]}")
    return DONE


def flush(asked: Asked) -> int:
    user = canonical_user(asked.options.user, asked.settings) if asked.options.user else ""
    if not user and not asked.agreed("forget the assignments of all users who have no sessions?"):
        return _left_alone(asked)
    answer = asked.console.answer("flush", user=user)
    number = answer.get("flushed") if user else answer.get("users")
    waits = f"; {user} may log in again without a wait" if answer.get("forgiven") else ""
    asked.answered(answer, f"{amount(number, 'assignment')} forgotten; users with sessions stay where they are{waits}")
    return DONE
