"""`/mcp`: tools for agents."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response

from server.http.audited import audited
from server.http.callers import needs
from server.http.dependencies import GIVEN
from server.http.tools import Tools

PATH = "/mcp"

router = APIRouter(tags=["tools"])


@router.post(PATH, dependencies=needs("predict") + audited("tools.call", "none"), include_in_schema=False)
async def call(tools: Annotated[Tools, GIVEN]) -> Response:
    """Answers a message of the Model Context Protocol. What a tool does is told by the requests that it makes."""
    return await tools.open()
