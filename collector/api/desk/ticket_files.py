"""`/tickets/{number}/attachments`: files beside tickets."""

from pydantic import Field

from collector.api.desk.attachment_shapes import Attachment
from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Download, Operation, Upload
from collector.api.desk.paging import Page
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Number
from collector.api.desk.tickets import ONE, TicketNumber, found_ticket
from collector.desk import attachments as store
from collector.desk.attachments import MAX_FILE_BYTES, EvidenceError, NoAttachmentError


class AttachmentPage(Page[Attachment]):
    pass


class NewAttachment(TicketNumber):
    name: str = Field(min_length=1, max_length=255, description="With its type, such as screen.png.")
    public: bool = Field(default=False, description="The customer sees it.")


class AttachmentId(TicketNumber):
    id: Number


async def list_attachments(call: Call[TicketNumber, None]) -> AttachmentPage:
    number = call.params.number
    await found_ticket(call, number)
    found = await store.list_attachments(call.connection, number)
    return AttachmentPage(items=[Attachment.model_validate(one) for one in found], next_cursor=None)


async def add_attachment(call: Call[NewAttachment, Upload]) -> Attachment:
    asked = call.params
    await found_ticket(call, asked.number)
    made = await store.attach(
        call.connection,
        asked.number,
        name=asked.name,
        content=call.body.content,
        is_public=asked.public,
        actor=call.caller.name,
        now=call.now,
    )
    return Attachment.model_validate(made)


async def download_attachment(call: Call[AttachmentId, None]) -> Download:
    kept = await _found(call)
    return Download(kept.name, await store.content_of(call.connection, kept.ticket, kept.id))


async def delete_attachment(call: Call[AttachmentId, None]) -> Attachment:
    kept = await _found(call)
    try:
        await store.remove(call.connection, kept.ticket, kept.id, actor=call.caller.name, now=call.now)
    except EvidenceError as error:
        raise Refusal(409, "conflict", str(error)) from error
    return Attachment.model_validate(kept)


async def _found(call: Call[AttachmentId, None]) -> store.Attachment:
    """Raises Refusal (404)."""
    number, attachment = call.params.number, call.params.id
    await found_ticket(call, number)
    try:
        return await store.get_attachment(call.connection, number, attachment)
    except NoAttachmentError:
        raise missing(f"file {attachment} of ticket {number}") from None


def operations() -> list[AnyOperation]:
    path = "/tickets/{number}/attachments"
    return [
        Operation("GET", path, "The files beside a ticket", TicketNumber, None, AttachmentPage, list_attachments),
        Operation(
            "POST",
            path,
            "Put a file beside a ticket",
            NewAttachment,
            Upload,
            Attachment,
            add_attachment,
            creates=True,
            works_on=ONE,
            max_body_bytes=MAX_FILE_BYTES,
            description="The body is the file as it is. Its content must be what its name says.",
        ),
        Operation("GET", f"{path}/{{id}}", "One file, to be saved", AttachmentId, None, Download, download_attachment),
        Operation(
            "DELETE", f"{path}/{{id}}", "Delete a file", AttachmentId, None, Attachment, delete_attachment, works_on=ONE
        ),
    ]
