"""`/contacts`: the people at customers."""

from datetime import datetime

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.shapes import Email, Id, Number, PersonName, Phone
from collector.fleet import contacts as store
from collector.fleet.contacts import Person
from collector.fleet.errors import NotFoundError
from collector.fleet.people import Language


class Contact(BaseModel):
    id: int
    customer: str
    site: str | None = Field(description="Where this person is asked about; null: anywhere.")
    name: str
    email: str | None
    phone: str | None
    language: Language = Field(description="To write in.")
    is_main: bool = Field(description="Is asked first.")
    created_at: datetime
    ended_at: datetime | None = Field(description="Is written to no more since then; name and addresses are erased.")


class ContactPage(Page[Contact]):
    pass


class NewContact(Request):
    customer: Id
    name: PersonName
    email: Email | None = None
    phone: Phone | None = None
    language: Language = Language.NL
    site: Id | None = None
    is_main: bool = Field(default=False, description="Is asked first, instead of who was before.")


class ContactPatch(Patch):
    name: PersonName = ""
    email: Email | None = None
    phone: Phone | None = None
    language: Language = Language.NL
    site: Id | None = None
    is_main: bool = False


class ContactFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64, description="Only those of this customer.")
    all: bool = Field(default=False, description="Also those that have ended.")


class ContactId(Request):
    id: Number


async def list_contacts(call: Call[ContactFilter, None]) -> ContactPage:
    asked, caller = call.params, call.caller
    customer = asked.customer or caller.customer
    if not caller.sees(customer, caller.site):
        return ContactPage(items=[], next_cursor=None)
    found = await store.contacts_after(
        call.connection, asked.after, asked.limit + 1, customer=customer, site=caller.site, with_ended=asked.all
    )
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return ContactPage(items=[_told(one) for one in page], next_cursor=cursor)


async def get_contact(call: Call[ContactId, None]) -> Contact:
    try:
        found = await store.get_contact(call.connection, call.params.id)
    except NotFoundError:
        raise missing(f"contact {call.params.id}") from None
    call.caller.require(f"contact {call.params.id}", found.customer, found.person.site)
    return _told(found)


async def add_contact(call: Call[NoParameters, NewContact]) -> Contact:
    asked = call.body
    call.caller.require(f"customer {asked.customer}", asked.customer, asked.site)
    person = Person(**asked.model_dump(exclude={"customer"}))
    return _told(await store.add_contact(call.connection, asked.customer, person, actor=call.caller.name, now=call.now))


async def change_contact(call: Call[ContactId, ContactPatch]) -> Contact:
    changes = call.body.given()
    if "site" in changes and call.caller.site not in (None, changes["site"]):
        raise missing(f"site {changes['site']}")
    found = await store.change_contact(call.connection, call.params.id, changes, actor=call.caller.name, now=call.now)
    return _told(found)


async def end_contact(call: Call[ContactId, None]) -> Contact:
    return _told(await store.end_contact(call.connection, call.params.id, actor=call.caller.name, now=call.now))


def operations() -> list[AnyOperation]:
    one = Operation("GET", "/contacts/{id}", "One contact", ContactId, None, Contact, get_contact)
    return [
        Operation("GET", "/contacts", "Contacts, by id", ContactFilter, None, ContactPage, list_contacts),
        one,
        Operation("POST", "/contacts", "Add a contact", NoParameters, NewContact, Contact, add_contact, creates=True),
        Operation(
            "PATCH", "/contacts/{id}", "Change a contact", ContactId, ContactPatch, Contact, change_contact, changes=one
        ),
        Operation(
            "DELETE",
            "/contacts/{id}",
            "Write to somebody no more",
            ContactId,
            None,
            Contact,
            end_contact,
            changes=one,
            description="What names the person is erased.",
        ),
    ]


def _told(contact: store.Contact) -> Contact:
    person = contact.person
    return Contact(
        id=contact.id,
        customer=contact.customer,
        site=person.site,
        name=person.name,
        email=person.email,
        phone=person.phone,
        language=person.language,
        is_main=person.is_main,
        created_at=contact.created_at,
        ended_at=contact.ended_at,
    )
