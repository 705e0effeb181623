package io.sdktokenbroker.java

import io.sdktokenbroker.*
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** Makes a [SdkTokenClient] in Java. See there for the parameters. */
class SdkTokenClientBuilder(
    private val brokerUrl: String,
    private val uniqueId: String,
    private val sessions: SessionSource,
    private val storage: TokenStorage,
) {
    private var app: String? = null
    private var regRegion: String? = null
    private var totalDeadline = 30.seconds
    private var attemptTimeout = 10.seconds
    private var transport: Transport = UrlConnectionTransport()
    private var sessionHeaders = SessionHeaders.BEARER

    fun app(app: String?) = apply { this.app = app }
    fun regRegion(regRegion: String?) = apply { this.regRegion = regRegion }
    fun totalDeadlineMillis(millis: Long) = apply { totalDeadline = millis.milliseconds }
    fun attemptTimeoutMillis(millis: Long) = apply { attemptTimeout = millis.milliseconds }
    fun transport(transport: Transport) = apply { this.transport = transport }
    fun sessionHeaders(sessionHeaders: SessionHeaders) = apply { this.sessionHeaders = sessionHeaders }

    fun build() = SdkTokenClient(
        brokerUrl, uniqueId, sessions, storage, app, regRegion, totalDeadline, attemptTimeout, transport, sessionHeaders,
    )
}
