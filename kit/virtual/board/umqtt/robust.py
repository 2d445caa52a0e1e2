# Runs on CPython and on MicroPython.
"""An MQTT client that connects again, with the interface of MicroPython's frozen `umqtt.robust`."""

import time

from umqtt import simple


class MQTTClient(simple.MQTTClient):
    DELAY = 2  # s between two tries
    DEBUG = False

    def delay(self, i):
        time.sleep(self.DELAY)

    def log(self, in_reconnect, e):
        if self.DEBUG:
            print("mqtt reconnect: %r" % e if in_reconnect else "mqtt: %r" % e)

    def reconnect(self):
        tries = 0
        while True:
            try:
                return super().connect(False)
            except OSError as error:
                self.log(True, error)
                tries += 1
                self.delay(tries)

    def publish(self, topic, msg, retain=False, qos=0):
        return self._insist(super().publish, topic, msg, retain, qos)

    def wait_msg(self):
        return self._insist(super().wait_msg)

    def check_msg(self, attempts=2):
        while attempts:
            self.sock.setblocking(False)
            try:
                return super().wait_msg()
            except OSError as error:
                self.log(False, error)
            self.reconnect()
            attempts -= 1

    def _insist(self, call, *args):
        while True:
            try:
                return call(*args)
            except OSError as error:
                self.log(False, error)
            self.reconnect()
