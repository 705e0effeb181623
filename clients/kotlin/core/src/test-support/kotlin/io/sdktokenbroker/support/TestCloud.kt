package io.sdktokenbroker.support

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.URLDecoder
import java.util.concurrent.Executors
import org.json.JSONArray
import org.json.JSONObject

/** A customer's cloud with the two look-ups of sharing. It asks the broker's internal API for the ids. */
class TestCloud(private val broker: LocalBroker, private val isSession: (String) -> Boolean) : AutoCloseable {
    private class Person(val account: String, val nickName: String, val avatarUrl: String?)

    private val people = mutableMapOf<String, Person>()
    private val executor = Executors.newSingleThreadExecutor()
    private val server = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0).apply {
        executor = this@TestCloud.executor
        createContext("/share") { exchange -> exchange.use { answer(it) } }
        start()
    }
    val url = "http://127.0.0.1:${server.address.port}"

    /** Requests that got 401. */
    @Volatile var refused = 0

    fun add(name: String, account: String, nickName: String, avatarUrl: String? = null) {
        people[name] = Person(account, nickName, avatarUrl)
    }

    override fun close() {
        server.stop(0)
        executor.shutdown()
    }

    private fun HttpExchange.use(answer: (HttpExchange) -> Pair<Int, JSONObject>) {
        val (status, body) = answer(this)
        val bytes = body.toString().toByteArray()
        responseHeaders.add("Content-Type", "application/json; charset=utf-8")
        sendResponseHeaders(status, bytes.size.toLong())
        responseBody.use { it.write(bytes) }
    }

    private fun answer(exchange: HttpExchange): Pair<Int, JSONObject> {
        val session = exchange.requestHeaders.getFirst("Authorization").orEmpty().removePrefix("Bearer ")
        if (!isSession(session)) return (401 to JSONObject().put("code", "session_expired")).also { refused += 1 }
        return when ("${exchange.requestMethod} ${exchange.requestURI.path}") {
            "GET /share/account" -> {
                val name = URLDecoder.decode(exchange.requestURI.rawQuery.removePrefix("account="), "UTF-8")
                people[name]?.let { 200 to it.toJson() } ?: (404 to JSONObject().put("code", "not_found"))
            }
            "POST /share/accounts" -> {
                val ids = JSONObject(exchange.requestBody.reader().readText()).getJSONArray("accessIds")
                val found = JSONObject(broker.internal("/accounts/lookup", JSONObject().put("accessIds", ids)).body)
                val accounts = people.values.filter { it.account in "$found" }.map { it.toJson() }
                200 to JSONObject().put("accounts", JSONArray(accounts))
            }
            else -> 400 to JSONObject()
        }
    }

    private fun Person.toJson() = JSONObject()
        .put("accessId", JSONObject(broker.internal("/accounts/$account").body).getString("accessId"))
        .put("nickName", nickName)
        .put("avatarUrl", avatarUrl)
}
