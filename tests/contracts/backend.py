"""The specification of `lite.ports.Backend`: a class of tests that supplies a `backend` fixture inherits it."""

from __future__ import annotations

from tests.contracts.backend_claim import ClaimTopic
from tests.contracts.backend_ends import EndsTopic
from tests.contracts.backend_events import EventsTopic
from tests.contracts.backend_leases import LeasesTopic
from tests.contracts.backend_needs import NeedsTopic
from tests.contracts.backend_offers import OffersTopic
from tests.contracts.backend_order import OrderTopic
from tests.contracts.backend_queries import QueriesTopic
from tests.contracts.backend_reopen import ReopenTopic
from tests.contracts.backend_submit import SubmitTopic
from tests.contracts.backend_teams import TeamsTopic
from tests.contracts.backend_workers import WorkersTopic


class BackendContract(
    SubmitTopic,
    ClaimTopic,
    LeasesTopic,
    EndsTopic,
    NeedsTopic,
    OrderTopic,
    ReopenTopic,
    EventsTopic,
    WorkersTopic,
    QueriesTopic,
    OffersTopic,
    TeamsTopic,
):
    """Everything a backend must do."""
