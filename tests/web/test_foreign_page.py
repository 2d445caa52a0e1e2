"""A page of another origin, in the browser of somebody who is logged in to the board."""

import re
import socket
import threading
from collections.abc import Callable

from selenium import webdriver
from selenium.webdriver.common.by import By

import kit
from kit.board.board import Board
from kit.ota.client import OtaClient
from kit.settings import DEMO

LOGGED_IN = b"HTTP/1.1 200 OK\r\nSet-Cookie: token=%s; HttpOnly; SameSite=Strict\r\nContent-Length: 0\r\n\r\n"


def click(window: webdriver.Chrome) -> None:
    window.find_element(By.CSS_SELECTOR, "button").click()


def text(window: webdriver.Chrome) -> str:
    return window.execute_script("return document.body?.textContent ?? ''")


def restarts(ota: OtaClient) -> int:
    return [entry.event for entry in ota.log()].count("RESTART")


def test_the_board_refuses_what_a_foreign_page_has_the_browser_ask_for(chromium: Callable, wait_until: Callable):
    board = kit.connect("virtual")
    board.ready(2)
    ota = OtaClient(board.url)
    with chromium() as window, kit.attacks.foreign_page(board) as page:
        window.get(board.url)
        window.find_element(By.ID, "password").send_keys(DEMO.password)
        click(window)
        wait_until(lambda: window.find_elements(By.CSS_SELECTOR, "input[type=file]"))
        ota.login()
        before = restarts(ota)
        window.get(page.url)
        assert "You have won" in text(window)
        click(window)
        wait_until(lambda: "This comes from another page." in text(window))
        assert window.current_url == f"{board.url}/restart"
        assert restarts(ota) == before
        window.get(f"{board.url}/update")  # the browser is still logged in
        assert window.find_elements(By.CSS_SELECTOR, "input[type=file]")


def test_the_cookie_goes_along_so_that_only_the_origin_tells(chromium: Callable, wait_until: Callable):
    """Two ports of one host are one site: SameSite=Strict does not keep the cookie back."""
    heads: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line:
                head = b""
                while b"\r\n\r\n" not in head and (piece := line.recv(4096)):
                    head += piece
                heads.append(head)
                line.sendall(LOGGED_IN % b"of-the-owner")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        board = Board("nowhere", url=f"http://127.0.0.1:{server.getsockname()[1]}", control="none")
        with chromium() as window, kit.attacks.foreign_page(board) as page:
            window.get(board.url)
            window.get(page.url)
            click(window)
            wait_until(lambda: any(head.startswith(b"POST /restart ") for head in heads))
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    [head] = [head for head in heads if head.startswith(b"POST /restart ")]
    assert re.search(rb"\r\nCookie: token=of-the-owner\r\n", head)
    assert f"\r\nOrigin: {page.url}\r\n".encode() in head
