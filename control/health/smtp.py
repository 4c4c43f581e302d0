"""A probe by SMTP: the backend greets, answers HELO and says goodbye."""

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPResponseException

from control.checks import SmtpCheck
from control.health.peer import Peer
from control.health.result import PASSED, Result, one_line


async def probe(peer: Peer, check: SmtpCheck) -> Result:
    """Have the shortest of dialogues (RFC 5321). Raises OSError, NoResultError."""
    client = aiosmtplib.SMTP(
        sock=await peer.connect(),
        local_hostname=check.helo,
        timeout=None,  # the caller has one
        use_tls=False,
        start_tls=False,
    )
    try:
        await client.connect()
        await client.helo()
        await client.quit()
    except SMTPResponseException as error:
        code = f"{error.code} " if error.code > 0 else ""  # it was not even one
        return Result(one_line(f"it says {code}{error.message}"))
    except SMTPException as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        return Result(one_line(f"no answer in SMTP: {error}"))
    finally:
        client.close()
    return PASSED
