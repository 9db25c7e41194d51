"""A part: one cup on one lane, known by the PLC's count of its photo-eye."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class PartId:
    """Who a part is.

    Attributes:
        lane: the lane's name in the configuration.
        session: the counter's life: changes whenever the count starts anew (PLC start, or line start
            where no photo-eye counts), so that part 17 of yesterday is never part 17 of today.
        number: the count within the session, from 1, one for every trigger.
    """

    lane: str
    session: int
    number: int
