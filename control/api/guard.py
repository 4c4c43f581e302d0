"""Who may call what, and for how long: decided once for every method of every service."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc

from control.access import Role
from control.api.audit import Audit
from control.api.details import refusal, status
from control.api.identity import Identities, Peer, acting_as
from control.api.roles import Rule, role_for, rule_of
from control.api.status_codes import Context, refuse
from control.errors import ForbiddenError

_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Guard(grpc.aio.ServerInterceptor):
    """Stands before all servicers."""

    def __init__(self, identities: Identities, audit: Audit) -> None:
        """Let in whom ``identities`` gives the role that the method needs."""
        self._identities = identities
        self._audit = audit

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a method, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None:  # nobody has that method: gRPC says so
            return handler
        kind = _KINDS[2 * handler.request_streaming + handler.response_streaming]
        guarded = self._guarded(handler_call_details.method, getattr(handler, kind))
        make: Any = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _guarded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        rule = rule_of(name)
        if inspect.isasyncgenfunction(method):

            async def streaming(request: Any, context: Context) -> AsyncGenerator[Any]:
                peer, _ = await self._let_in(name, rule, request, context)
                with acting_as(peer):
                    async with aclosing(method(request, context)) as answers:
                        async for answer in answers:
                            yield answer

            return streaming

        async def calling(request: Any, context: Context) -> Any:
            peer, allowed = await self._let_in(name, rule, request, context)
            with acting_as(peer):
                work = _in_time(method(request, context), allowed, context)
                if role_for(allowed, request) is Role.CHANGE:
                    return await self._change(name, work, peer, context)
                return await work

        return calling

    async def _let_in(
        self, name: str, rule: Rule | None, request: object, context: Context
    ) -> tuple[Peer, Rule]:
        """Return who calls, if that may; end the call otherwise."""
        peer = self._identities.peer_of(context)
        if rule is None or peer.role < role_for(rule, request):
            why = f"{peer.author} may not call {name}: {_reason(peer, rule)}"
            self._audit.refused(peer, name, "PERMISSION_DENIED", why)
            await refuse(context, refusal(ForbiddenError(why)))
        return peer, rule

    async def _change(
        self, name: str, work: Awaitable[Any], peer: Peer, context: Context
    ) -> Any:
        try:
            answer = await work
        except grpc.aio.AbortError:
            code = context.code()
            spelled = code.name if isinstance(code, grpc.StatusCode) else str(code)
            self._audit.refused(peer, name, spelled, _text(context.details()))
            raise
        self._audit.made(peer, name, answer)
        return answer


async def _in_time(work: Awaitable[Any], rule: Rule, context: Context) -> Any:
    """Return what ``work`` comes to; end the call if it takes too long."""
    limit = asyncio.timeout(rule.seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if limit.expired():
            sentence = f"it takes longer than {rule.seconds:g} s, and was given up"
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            await refuse(context, status(code, sentence, "DEADLINE"))
        raise


def _reason(peer: Peer, rule: Rule | None) -> str:
    if rule is None:
        return "this guidewayd has no role for it, which is a bug"
    if peer.role is Role.VIEW:
        return "it changes something, and they may only view"
    if peer.role is Role.PEER:
        return "they are a peer, and may only follow this node"
    return "they have no role here (`api.change`, `api.view`, `api.peer`)"


def _text(details: object) -> str:
    return details.decode(errors="replace") if isinstance(details, bytes) else str(details)
