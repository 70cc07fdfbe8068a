"""The HTTP application: metrics, figures, health and the schema.

`app` builds it with callables and serves it with `server`. The answers come from what the service knows
already: no handler waits for a database or a broker, so health answers while they are away.
"""

from __future__ import annotations

from collections.abc import Callable

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.status_codes import HTTP_200_OK, HTTP_500_INTERNAL_SERVER_ERROR, HTTP_503_SERVICE_UNAVAILABLE

from service.api.health import LiveReport, ReadyReport, ResumeReport, live_report, ready_report
from service.api.stats import Stats
from service.core.health import Liveness, Readiness
from service.telemetry.logging import get_logger

log = get_logger(__name__)

# Litestar adds the charset; given twice, Prometheus would refuse the page.
METRICS_TYPE = "text/plain; version=0.0.4"

_Request = Request[object, object, State]
_ErrorBody = dict[str, int | str]


def create_app(
    *,
    metrics_text: Callable[[], bytes],
    stats: Callable[[], Stats],
    live: Callable[[], Liveness],
    ready: Callable[[], Readiness],
    resume: Callable[[], bool],
    version: str,
) -> Litestar:
    """Build the application. The callables are called on the event loop and must not block.

    `resume` lets the lanes go on that the flood guard has stopped, and says whether it had.
    """
    return Litestar(
        route_handlers=[_metrics(metrics_text), _stats(stats), _live(live), _ready(ready), _resume(resume)],
        exception_handlers={HTTPException: _http_error, Exception: _unexpected_error},
        openapi_config=_schema(version),
        # Litestar would configure handlers of its own and log exceptions with their messages.
        logging_config=None,
    )


def _metrics(metrics_text: Callable[[], bytes]) -> HTTPRouteHandler:
    @get("/metrics", media_type=METRICS_TYPE, sync_to_thread=False, summary="Metrics in Prometheus' format")
    def metrics() -> bytes:
        return metrics_text()

    return metrics


def _stats(stats: Callable[[], Stats]) -> HTTPRouteHandler:
    @get("/stats", sync_to_thread=False, summary="The same for people")
    def figures() -> Stats:
        return stats()

    return figures


def _live(live: Callable[[], Liveness]) -> HTTPRouteHandler:
    @get(
        "/health/live",
        sync_to_thread=False,
        summary="Whether the process can make progress",
        responses={HTTP_503_SERVICE_UNAVAILABLE: ResponseSpec(LiveReport, description="Stuck, and where")},
    )
    def liveness() -> Response[LiveReport]:
        state = live()
        return Response(live_report(state), status_code=_status_code(state.live))

    return liveness


def _ready(ready: Callable[[], Readiness]) -> HTTPRouteHandler:
    @get(
        "/health/ready",
        sync_to_thread=False,
        summary="Whether every part that work depends on is there",
        responses={HTTP_503_SERVICE_UNAVAILABLE: ResponseSpec(ReadyReport, description="A part fails")},
    )
    def readiness() -> Response[ReadyReport]:
        state = ready()
        return Response(ready_report(state), status_code=_status_code(state.ready))

    return readiness


def _resume(resume: Callable[[], bool]) -> HTTPRouteHandler:
    @post(
        "/control/resume",
        status_code=HTTP_200_OK,
        sync_to_thread=False,
        summary="Go on after the flood guard has paused the lanes",
    )
    def resumption() -> ResumeReport:
        was_paused = resume()
        log.warning("resumed by an operator", was_paused=was_paused)
        return ResumeReport(was_paused)

    return resumption


def _status_code(healthy: bool) -> int:
    return HTTP_200_OK if healthy else HTTP_503_SERVICE_UNAVAILABLE


def _schema(version: str) -> OpenAPIConfig:
    """The schema as plain JSON and YAML: Litestar's pages for browsers load scripts from the network."""
    return OpenAPIConfig(
        title="upsertd",
        version=version,
        path="/schema",
        render_plugins=[
            JsonRenderPlugin(path=["/", "/openapi.json"], media_type=MediaType.JSON),
            YamlRenderPlugin(),
        ],
    )


def _http_error(request: _Request, error: HTTPException) -> Response[_ErrorBody]:
    if error.status_code >= HTTP_500_INTERNAL_SERVER_ERROR:
        return _unexpected_error(request, error)
    return _error(error.status_code, error.detail)


def _unexpected_error(_request: _Request, error: Exception) -> Response[_ErrorBody]:
    log.error("request failed", exc_info=error)
    return _error(HTTP_500_INTERNAL_SERVER_ERROR, "Internal Server Error")


def _error(status_code: int, detail: str) -> Response[_ErrorBody]:
    # Always JSON, whatever the client's Accept header asks for.
    body: _ErrorBody = {"status_code": status_code, "detail": detail}
    return Response(body, status_code=status_code, media_type=MediaType.JSON)
