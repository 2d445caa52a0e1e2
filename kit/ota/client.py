"""The client of the board's web server: log in, send an update, watch it arrive, see it confirmed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING

from kit.errors import BoardError, Interrupted, interruptible
from kit.ota.answer import log_in
from kit.ota.fetching import Fetching, ask_fetching, body_of, checked, may_have_token, read_pull
from kit.ota.history import History, updates_in
from kit.ota.info import VIRTUAL_CHIP, Info, read_info
from kit.ota.log import Log, read_log
from kit.ota.login import login
from kit.ota.parcel import entire
from kit.ota.pull import follow, follow_next
from kit.ota.result import UploadResult
from kit.ota.telling import Place, Telling, read_telling, write_telling
from kit.ota.upload import digest_header, image_bytes, send_until_taken
from kit.ota.waiting import PROGRESS, await_confirmation, await_restart, what_runs
from kit.ota.web import JSON, Web
from kit.progress import Progress
from kit.settings import github_token
from kit.shown import html_link
from kit.uploads import uploading

if TYPE_CHECKING:
    from kit.image.update_image import UpdateImage


@interruptible
class OtaClient:
    """The web server of one board.

    Args:
        url: where it is reached, as `board.url` has it.
        virtual: whether the board is virtual; None asks it.
        pin: by what certificate the board is known over HTTPS: its SHA-256 as 64 hex digits, or a PEM file of it. None
            for what board.install() or board.reset() has kept.

    Raises:
        AddressError: no web server can be there.
        SecurityError: there is no such pin.
    """

    def __init__(self, url: str, *, virtual: bool | None = None, pin: object = None) -> None:
        self._web = Web(url, pin)
        self.url = self._web.url
        self._virtual = virtual

    def __repr__(self) -> str:
        return "the board's web page"

    def _repr_html_(self) -> str:
        return html_link(self.url, repr(self))

    def info(self) -> Info:
        """Return what the board says of itself.

        Raises:
            BoardError: nothing answers at this address, or something that is no board of ours.
        """
        return read_info(self._web)

    def login(self) -> None:
        """Get a token with the OTA password from the settings, and print for how long it is good.

        Raises:
            BoardError: the board does not know this password, or has locked the door; it says for how long.
            SettingsError: no password is set.
        """
        info = self.info()
        seconds = login(self._web, info, self._is_virtual(info))
        print(f"Logged in for {seconds // 60} minutes.")

    def progress(self) -> dict:
        """Return the phase of the running update, bytes received and written, its size, and the last error."""
        return self._web.ask("GET", "/progress", PROGRESS)

    def log(self) -> Log:
        """Return what the board has written down: who logged in, what was sent, and what became of it. Log in first.

        Raises:
            BoardError: nobody is logged in, or the firmware of the board keeps no log.
        """
        return Log(read_log(self._web), self._is_virtual(self.info()))

    def history(self) -> History:
        """Return the updates of which the board's log tells, and what became of each. Log in first.

        Raises:
            BoardError: nobody is logged in, or the firmware of the board keeps no log.
        """
        return History(updates_in(read_log(self._web)), self._is_virtual(self.info()))

    def restart(self) -> Info:
        """Restart the board, and return what it says of itself once it answers again.

        Raises:
            BoardError: nobody is logged in, an update runs, or the board does not come back.
        """
        self._web.ask("POST", "/restart")
        self._web.token = None
        return await_restart(self._web)

    def rollback(self) -> Info:
        """Go back to the version in the other slot, and return what the board says of itself once it confirmed that.

        Raises:
            UpdateError: there is no version to go back to, or this is not the time for it.
            BoardError: nobody is logged in, or that version does not confirm itself.
        """
        said = self._web.ask("POST", "/rollback", {"version": str, "slot": str})
        self._web.token = None
        return await_confirmation(self._web, said["version"], said["slot"])[0]

    def config(self) -> dict:
        """Return the settings that can be changed over the air (Wi-Fi, name, addresses, pins), but for the password."""
        return dict(sorted(self._web.ask("GET", "/config").items()))  # MicroPython's dicts have no order

    def configure(self, **settings: object) -> None:
        """Change some of the settings that `config` names, and "wifi_password"; they apply at the next restart.

        Raises:
            BoardError: nobody is logged in, or the board refuses one of them; then none is changed.
        """
        try:
            body = json.dumps(settings, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise BoardError(
                "These settings are no JSON.", "Give texts, whole numbers, None, and a dict of pins."
            ) from None
        print(self._web.ask("PUT", "/config", {"message": str}, body=body, headers=JSON)["message"])

    def tell(self, mqtt: str | Place | None = None, webhook: str | Place | None = None) -> None:
        """Have the board tell what becomes of it, from now on, to these and nobody else; without any to nobody.

        Its state goes to the topic PREFIX/HOSTNAME/state of an MQTT broker, retained, and as JSON to a webhook, signed
        by the webhook key. That and the password of the broker come from the settings. Log in first.

        Args:
            mqtt: the broker's host, or a dict of it with port, tls, certificate (by its SHA-256), user and prefix.
            webhook: its URL, as `kit.receive_events()` has one, or a dict of url and certificate.

        Raises:
            BoardError: nobody is logged in, or the board refuses this; then nothing has changed.
            SettingsError: a secret is missing, or stands in an argument.
        """
        print(write_telling(self._web, mqtt, webhook, self._is_virtual(self.info())))

    def telling(self) -> Telling:
        """Return whom the board tells what becomes of it, and what went wrong last. Log in first.

        Raises:
            BoardError: nobody is logged in, or the firmware of the board tells nobody.
        """
        return read_telling(self._web)

    def upload(
        self,
        image: UpdateImage | str | os.PathLike | bytes,
        wait: bool = True,
        md5: str | None = None,
        tries: int = 1,
        whole: bool = False,
    ) -> UploadResult:
        """Send an update image, and wait until the board has restarted and confirmed it.

        Only those sectors travel that the next slot lacks, as after an upload that broke; where that is about all, or
        the board's firmware is older, the whole image does. The progress bar counts what the slot has. Log in first.
        Interrupted, it breaks the upload off, waits until the board is idle, and says what runs. Meanwhile no verb of
        Board, in whatever notebook, restarts the board, unless it is forced.

        Args:
            image: what `kit.build` made, a file of it, or its bytes.
            wait: False returns when the board has accepted the image and is about to restart.
            md5: 32 hex digits to announce, as Arduino's tools do; without them it is the SHA-256 of the image.
            tries: how often to try in all, where the link breaks; each goes on where the one before has ended.
            whole: send all of it, also what the slot has.

        Raises:
            ImageError: there is no such file, or it is none.
            UpdateError: the board refuses the image.
            RollbackError: the new version was given up, and the board runs the old one again.
            BoardError: the link broke, or the new version was not confirmed in time.
        """
        data = image_bytes(image)
        if not isinstance(tries, int) or tries < 1:
            raise BoardError(f"{tries!r} is no number of tries.", "Give a whole number from 1 on.")
        if self._web.token is None:
            raise log_in()
        old = self.info()
        restart = None
        with uploading(self.url, old.get("ip")), Progress("upload", len(data)) as bar:
            try:
                everything = entire(data, digest_header(data, md5))
                is_whole = whole or md5 is not None
                taken, tried, parcel = send_until_taken(self._web, data, everything, old, bar, tries, is_whole)
                if wait:
                    _, restart = await_confirmation(self._web, taken["version"], taken["slot"])
                    bar.update(len(data), parcel.during("confirmed"))
                self._web.token = None  # the board forgets it when it restarts
            except KeyboardInterrupt:
                raise Interrupted(outcome=what_runs(self._web)) from None
        return UploadResult(
            **{name: taken[name] for name in ("version", "slot", "bytes", "seconds")},
            samples=tried[-1],
            restart_seconds=restart,
            virtual=self._is_virtual(old),
            broken=tuple(tried[:-1]),
            sectors=parcel.sectors,
        )

    def fetch_from(
        self,
        url: str | None,
        *,
        certificate: object = ...,
        window: str | EllipsisType | None = ...,
        days: Sequence[str] | EllipsisType | None = ...,
        zone: str | EllipsisType = ...,
        ntp: str | EllipsisType | None = ...,
        version: str | EllipsisType | None = ...,
        hold: bool | EllipsisType = ...,
    ) -> Fetching:
        """Tell the board where updates are and when it may fetch them, and return what it has noted. Log in first.

        What is left out stays as it is; None takes it away. A token for GitHub comes from the settings.

        Args:
            url: of a manifest, or "github:owner/name"; None: the board fetches nothing.
            certificate: by which alone the board knows the server: its SHA-256 as 64 hex digits, or a PEM file of it.
            window: hours in which the board looks, such as "02:00-04:00".
            days: on which the window opens: of "mon", "tue", "wed", "thu", "fri", "sat" and "sun".
            zone: whose hours these are, such as "Europe/Berlin", or a rule as POSIX has it.
            ntp: the server that the board asks for the time; None: none.
            version: the only one that the board takes.
            hold: the board looks only when it is asked to, by `pull`.

        Raises:
            AddressError, SecurityError: no source or no certificate can be there.
            SettingsError: the settings cannot be read, or the token cannot be one.
            BoardError: nobody is logged in, the board refuses a setting (then none is changed), or it cannot fetch.
        """
        settings = {"url": url, "certificate": certificate, "window": window, "days": days, "zone": zone}
        settings = checked(settings | {"ntp": ntp, "version": version, "hold": hold})
        # A token that the board has from before is not for another server.
        token = github_token(self._is_virtual(self.info())) if may_have_token(settings["url"]) else None
        return ask_fetching(self._web, "PUT", body_of(settings | {"token": token}))

    def fetching(self) -> Fetching:
        """Return where the board fetches updates from and when, and what came of its last look. Log in first.

        Raises:
            BoardError: nobody is logged in, or the firmware of the board fetches no updates.
        """
        return ask_fetching(self._web)

    def pull(self, wait: bool = True) -> Fetching:
        """Have the board look for an update now, whatever its window says, and return what came of it. Log in first.

        The board fetches what there is, restarts and confirms it, while the progress bar counts what it has written.
        Interrupted, this waits no more, and the board goes on.

        Args:
            wait: False returns when the board has begun.

        Raises:
            UpdateError: another update runs, or the version that runs is not confirmed yet.
            RollbackError: the new version was given up, and the board runs the old one again.
            BoardError: nobody is logged in, the board does not know where updates are, or whose it may take; its
                firmware fetches none; it fell silent, or the new version was not confirmed in time.
        """
        old = self.info()
        read_pull(self._web.request("POST", "/pull"))
        if not wait:
            return self.fetching()
        return self._followed(old, follow)

    def watch(self, seconds: float = 60) -> Fetching:
        """Wait until the board looks for an update by itself, and return what came of it, as `pull` does. Log in first.

        Args:
            seconds: for which it may let one wait until it begins.

        Raises:
            RollbackError: the new version was given up, and the board runs the old one again.
            BoardError: nobody is logged in, it did not begin, it fell silent, or the new version was not confirmed in
                time.
        """
        state = self.fetching().state
        return self._followed(self.info(), lambda *args: follow_next(*args, state, seconds))

    def _followed(self, old: Info, follow: Callable[[Web, Info, Progress], Fetching | None]) -> Fetching:
        with uploading(self.url, old.get("ip")), Progress("fetch", 0) as bar:
            try:
                found = follow(self._web, old, bar)
            except KeyboardInterrupt:
                raise Interrupted(outcome="The board goes on by itself; ota.fetching() shows how far it is.") from None
        if not found:  # the board has restarted, and forgotten the token
            info = self.info()
            login(self._web, info, self._is_virtual(info))
        return found or self.fetching()

    def _is_virtual(self, info: Info) -> bool:
        return info.get("chip") == VIRTUAL_CHIP if self._virtual is None else self._virtual
