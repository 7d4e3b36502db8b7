"""The API: every route in one list, and the app that serves them.

request ──► route ──► admit (key, scope) ──► handler ──► struct as JSON
              └──────────────── any exception ───────────────────► answer_error ──► problem
"""

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from relay import __version__
from relay.api import (
    admin,
    agents,
    automation,
    calls,
    contacts,
    deliveries,
    endpoints,
    events,
    groups,
    health,
    health_problems,
    media,
    message_changes,
    messages,
    metrics,
    profile,
    qr,
    rule_explain,
    rule_schema,
    rule_shadow,
    rules,
    sandbox,
    send,
    sessions,
)
from relay.api.auth import Authenticator, admit
from relay.api.console import serving, signing_in
from relay.api.console.sign_in_limiter import SignInLimiter
from relay.api.docs import openapi_config
from relay.api.errors import answer_error
from relay.api.idempotency import remember_answers
from relay.api.limits import add_headers, make_limiter, open_storage
from relay.api.request import Request
from relay.api.services import Services
from relay.api.wire import JsonBody

ROUTES: list[ControllerRouterHandler] = [
    Router(
        "/api/v1/admin",
        route_handlers=[
            admin.create_tenant,
            admin.list_tenants,
            admin.read_tenant,
            admin.update_tenant,
            admin.delete_tenant,
            admin.create_key,
            admin.list_keys,
            admin.delete_key,
            admin.rotate_key,
        ],
        tags=["admin"],
    ),
    Router(
        "/api/v1/whatsapp",
        route_handlers=[
            sessions.create_session,
            sessions.list_sessions,
            sessions.read_session,
            sessions.update_session,
            sessions.delete_session,
            sessions.connect_session,
            sessions.disconnect_session,
            sessions.logout_session,
            qr.read_qr,
            profile.update_profile,
            profile.update_presence,
            profile.read_picture,
            groups.list_groups,
            groups.read_group,
            calls.reject_call,
            sandbox.scan_code,
            sandbox.create_inbound,
            sandbox.create_fault,
            sandbox.list_outbox,
        ],
        tags=["sessions"],
    ),
    Router(
        "/api/v1/whatsapp",
        route_handlers=[
            send.send_message,
            messages.list_messages,
            messages.read_message,
            messages.list_chats,
            message_changes.update_message,
            message_changes.delete_message,
            message_changes.read_up_to_message,
            message_changes.read_chat,
            message_changes.show_typing,
            automation.read_chat_automation,
            automation.update_chat_automation,
            contacts.list_contacts,
            contacts.read_contact,
            contacts.update_contact,
            contacts.delete_contact,
            contacts.check_contacts,
            media.create_media,
            media.read_media,
        ],
        tags=["messages"],
    ),
    Router(
        "/api/v1/webhooks",
        route_handlers=[
            endpoints.create_endpoint,
            endpoints.list_endpoints,
            endpoints.read_endpoint,
            endpoints.update_endpoint,
            endpoints.delete_endpoint,
            endpoints.rotate_endpoint_secret,
            endpoints.test_endpoint,
            endpoints.read_endpoint_statistics,
            deliveries.list_deliveries,
            deliveries.read_delivery,
            deliveries.redeliver_delivery,
            deliveries.cancel_delivery,
            deliveries.replay_endpoint,
        ],
        tags=["webhooks"],
    ),
    Router(
        "/api/v1",
        route_handlers=[
            rules.put_rule_set,
            rules.list_rule_sets,
            rules.read_rule_set,
            rules.delete_rule_set,
            rules.list_rule_set_versions,
            rules.read_rule_set_version,
            rules.diff_rule_set,
            rules.roll_back_rule_set,
            rule_explain.explain_rules,
            rule_shadow.list_shadow_decisions,
            rule_schema.read_rule_schema,
        ],
        tags=["rules"],
    ),
    Router(
        "/api/v1",
        route_handlers=[
            agents.create_agent,
            agents.list_agents,
            agents.read_agent_usage,
            agents.read_agent,
            agents.update_agent,
            agents.delete_agent,
            agents.rotate_agent_secret,
            agents.try_agent,
            agents.list_agent_calls,
        ],
        tags=["agents"],
    ),
    Router("/api/v1", route_handlers=[events.list_events, events.read_event], tags=["events"]),
    health.read_health,
    health.list_rates,
    health_problems.list_problems,
    health.read_liveness,
    health.read_readiness,
    metrics.read_metrics,
    Router(
        "/api/v1/console",
        route_handlers=[
            signing_in.create_console_session,
            signing_in.read_console_session,
            signing_in.delete_console_session,
        ],
        tags=["console"],
    ),
    serving.read_console,
    serving.read_console_file,
]


def create_app(services: Services) -> Litestar:
    """The ASGI app; the doorbell of `services` must be running for keys to be forgotten at once."""
    authenticator = Authenticator(
        services.pool, operator_key=services.operator_key, now=services.now, key_use=services.key_use
    )
    services.doorbell.bell("keys", authenticator)
    limiter = make_limiter(services.config.limits)
    return Litestar(
        ROUTES,
        state=State(
            {
                "services": services,
                "authenticator": authenticator,
                "limiter": limiter,
                "sign_in_limiter": SignInLimiter(open_storage(services.config.limits)),
            }
        ),
        request_class=Request,
        dto=JsonBody,
        return_dto=None,
        before_request=admit,
        before_send=[] if limiter is None else [add_headers],
        middleware=[services.telemetry.middleware, remember_answers],
        on_shutdown=[services.aclose],
        exception_handlers={Exception: answer_error},
        # Ours: Request.stream caps the body.
        request_max_body_size=None,
        logging_config=None,
        openapi_config=openapi_config(__version__),
    )
