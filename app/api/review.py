"""The review routes as one router."""

from fastapi import APIRouter

from app.api import items, leases, queues

router = APIRouter()
for part in (queues, leases, items):
    router.include_router(part.router)
