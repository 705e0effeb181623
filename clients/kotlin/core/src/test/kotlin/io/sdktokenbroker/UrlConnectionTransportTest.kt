package io.sdktokenbroker

import io.sdktokenbroker.support.TransportContract

class UrlConnectionTransportTest : TransportContract(UrlConnectionTransport())
