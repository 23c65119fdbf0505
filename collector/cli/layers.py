"""For what a command sets something: options that name one layer."""

import click

from collector.fleet.layers import Layer


def chosen_layer(
    customer: str | None, site: str | None, device: str | None, plan: str | None = None, *, with_plan: bool = False
) -> tuple[Layer, str]:
    """The one layer that the options name, and its subject. Raises click.UsageError."""
    if site is not None and customer is not None and "/" not in site:
        site, customer = f"{customer}/{site}", None
    named = [
        (layer, subject)
        for layer, subject in (
            (Layer.PLAN, plan),
            (Layer.CUSTOMER, customer),
            (Layer.SITE, site),
            (Layer.DEVICE, device),
        )
        if subject is not None
    ]
    if len(named) != 1:
        first = "--plan, --customer" if with_plan else "--customer"
        raise click.UsageError(f"say what it is for by one of {first}, --site CUSTOMER/SITE or --device")
    layer, subject = named[0]
    if layer is Layer.SITE and "/" not in subject:
        raise click.UsageError("write --site CUSTOMER/SITE, or name the customer beside it with --customer")
    return layer, subject
