package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import java.io.File
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class BrokerErrorTest {
    private fun errorOf(status: Int, problem: String) =
        BrokerError.of(HttpAnswer(status, etag = null, retryAfter = null, JSONObject(problem), "a session"))

    @Test
    fun `every code of the broker's API has the kind that tells the app what to do`() {
        val api = JSONObject(File("../../../openapi/openapi.json").readText())
        val codes = api.query("/components/schemas/Problem/properties/code/enum") as Iterable<*>
        val responses = (api.query("/paths/~1sdk-token/get/responses") as JSONObject)
        val statuses = responses.keySet().associateWith { "${responses.getJSONObject(it)}" }
        val kinds = codes.map { "$it" }.filter { it !in listOf("not_found", "method_not_allowed") }.associateWith { code ->
            val status = statuses.entries.single { "\"code\":\"$code\"" in it.value }.key.toInt()
            errorOf(status, """{"code":"$code"}""").kind
        }
        val expected = mapOf(
            "request_invalid" to Kind.INVALID_REQUEST,
            "session_missing" to Kind.SESSION_NEEDED,
            "session_invalid" to Kind.SESSION_NEEDED,
            "session_expired" to Kind.SESSION_NEEDED,
            "session_forbidden" to Kind.FORBIDDEN,
            "account_disabled" to Kind.FORBIDDEN,
            "terminal_limit" to Kind.FORBIDDEN,
            "rate_limited" to Kind.RATE_LIMITED,
            "internal" to Kind.TEMPORARY,
            "vendor_rejected" to Kind.VENDOR_TROUBLE,
            "vendor_unavailable" to Kind.VENDOR_TROUBLE,
            "vendor_busy" to Kind.VENDOR_TROUBLE,
            "session_check_unavailable" to Kind.TEMPORARY,
            "store_unavailable" to Kind.TEMPORARY,
            "shutting_down" to Kind.TEMPORARY,
            "vendor_timeout" to Kind.VENDOR_TROUBLE,
        )
        assertEquals(expected, kinds)
    }

    @Test
    fun `the message names the code, the detail and the request`() {
        val error = errorOf(400, """{"code":"request_invalid","detail":"uniqueId is wrong","requestId":"r-1"}""")
        assertEquals("request_invalid, uniqueId is wrong, request r-1", error.message)
    }
}
