"""The HTTP interface: give a picture with an order, ask how far it is, get the result. ``/docs`` describes it."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from ..errors import MambairError
from .service import Order, Service, State, Ticket


class Progress(BaseModel):
    """How far an order is."""

    id: str
    """Of the ticket."""
    name: str
    """Of the result."""
    state: State
    """waiting, running, done, failed or cancelled."""
    done: int
    """Tiles restored."""
    total: int
    """Tiles in all; 0 while nobody knows."""
    remaining: float | None
    """Seconds that the network will still take, if that can be told."""
    message: str
    """What went wrong, and what to do."""
    notes: list[str]
    """What is different from what one may expect, as the command would warn."""


def progress(ticket: Ticket) -> Progress:
    """A ticket as the interface shows it."""
    notes = ticket.result.retries + ticket.result.notes if ticket.result else []
    values = {name: getattr(ticket, name) for name in ("id", "name", "state", "done", "total", "remaining", "message")}
    return Progress(**values, notes=notes)


def router(service: Service) -> APIRouter:
    """The routes below ``/api``."""
    routes = APIRouter(prefix="/api")

    def known(key: str) -> Ticket:
        ticket = service.ticket(key)
        if ticket is None:
            raise HTTPException(404, "There is no such ticket; it may have been removed.")
        return ticket

    @routes.post("/restore", status_code=202)
    async def restore(
        picture: UploadFile,
        task: Annotated[str, Form()],
        model: Annotated[str | None, Form()] = None,
        scale: Annotated[float | None, Form()] = None,
        strength: Annotated[float, Form()] = 1.0,
        sigma: Annotated[float | None, Form()] = None,
    ) -> Progress:
        """Give a picture (PNG, JPEG, ...) with an order; the answer holds the ticket's id."""
        content = await picture.read(service.max_bytes + 1)
        try:
            given = service.give(picture.filename or "picture", content)
            order = Order(task=task, model=model, scale=scale, strength=strength, sigma=sigma)
            return progress(service.order(given, order))
        except MambairError as error:
            raise HTTPException(422, f"{error.message} {error.hint}") from None

    @routes.get("/tickets/{key}")
    async def state(key: str) -> Progress:
        """How far an order is."""
        return progress(known(key))

    @routes.delete("/tickets/{key}", status_code=204)
    async def cancel(key: str) -> Response:
        """Stop an order, and remove its picture and result."""
        ticket = known(key)
        service.cancel(ticket)
        service.forget(ticket.given.id)
        return Response(status_code=204)

    @routes.get("/tickets/{key}/result", response_class=FileResponse)
    async def result(key: str) -> FileResponse:
        """The restored picture."""
        ticket = known(key)
        if ticket.state is not State.DONE:
            raise HTTPException(409, f"The order is {ticket.state}. {ticket.message}".strip())
        return FileResponse(ticket.target, filename=ticket.name)

    @routes.get("/previews/{key}", include_in_schema=False)
    def preview(key: str) -> FileResponse:
        given, ticket = service.given(key), service.ticket(key)
        path = given.path if given else ticket.target if ticket and ticket.state is State.DONE else None
        if path is None:
            raise HTTPException(404)
        return FileResponse(service.preview(path), media_type="image/jpeg")

    @routes.get("/packed", include_in_schema=False)
    def packed(ids: str) -> FileResponse:
        found = [ticket for key in ids.split(",") if (ticket := service.ticket(key))]
        return FileResponse(service.packed(found), filename="restored.zip", media_type="application/zip")

    return routes


def only_from(app: FastAPI, hosts: frozenset[str]) -> None:
    """Refuse requests that another site makes a browser send: under a foreign name, or from a foreign page."""

    @app.middleware("http")
    async def check(request: Request, call_next: Any) -> Response:
        origin = request.headers.get("origin")
        named = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if "*" not in hosts and named not in hosts:
            return JSONResponse({"detail": "This address is not served under that name."}, 421)
        if origin not in (None, "null") and urlsplit(origin).netloc != request.headers.get("host"):
            return JSONResponse({"detail": "Requests from other pages are refused."}, 403)
        response: Response = await call_next(request)
        return response
