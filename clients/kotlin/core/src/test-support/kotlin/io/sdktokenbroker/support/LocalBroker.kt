package io.sdktokenbroker.support

import io.sdktokenbroker.InMemoryTokenStorage
import io.sdktokenbroker.SdkTokenClient
import io.sdktokenbroker.SessionSource
import io.sdktokenbroker.TokenStorage
import java.io.File
import java.net.HttpURLConnection
import java.net.ServerSocket
import java.net.URL
import java.util.Base64
import java.util.UUID
import java.util.concurrent.TimeUnit
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import org.json.JSONObject

const val PHONE = "phone-1"
private const val SECRET = "a secret of the tests with more than 32 bytes"
private const val ADMIN_TOKEN = "admin-token-of-the-tests"

/** The built broker and the vendor simulator, as two processes. The broker keeps its tokens in memory. */
class LocalBroker(vararg settings: Pair<String, String>) : AutoCloseable {
    private val vendor = NodeProcess(listOf("simulate-vendor", "--port", "0"), emptyMap())
    private val vendorUrl = vendor.firstLine(Regex("""^Vendor simulator +(http://\S+)"""))
    private val adminPort = freePort()
    private val serve = NodeProcess(
        listOf("serve"),
        mapOf(
            "HOST" to "127.0.0.1",
            "PORT" to "0",
            "ADMIN_PORT" to "$adminPort",
            "ADMIN_TOKEN" to ADMIN_TOKEN,
            "VENDOR_BASE_URL" to vendorUrl,
            "VENDOR_APP_ID" to "demo-app",
            "VENDOR_APP_TOKEN" to "demo-app-token",
            "VENDOR_APP_KEY" to "demo-app-key",
            "SESSION_JWT_SECRET" to SECRET,
            "SESSION_JWT_ISSUER" to "https://accounts.example",
            "SESSION_JWT_AUDIENCE" to "sdk-token-broker",
            "DEFAULT_REGION" to "DE",
        ) + settings,
    )
    val url = serve.firstLine(Regex(""""url":"(http://[^"]+)".*"msg":"ready""""))
    val port = URL(url).port

    fun newAccount() = "account-${UUID.randomUUID()}"

    /** A session of this account. A negative lifetime makes one that has ended. */
    fun session(account: String, lifetime: Duration = 3_600.seconds): String {
        val now = System.currentTimeMillis() / 1_000
        val claims = JSONObject().put("sub", account).put("iss", "https://accounts.example")
            .put("aud", "sdk-token-broker").put("exp", now + lifetime.inWholeSeconds).put("jti", UUID.randomUUID())
        val text = base64("""{"alg":"HS256"}""".toByteArray()) + "." + base64(claims.toString().toByteArray())
        val mac = Mac.getInstance("HmacSHA256").apply { init(SecretKeySpec(SECRET.toByteArray(), "HmacSHA256")) }
        return text + "." + base64(mac.doFinal(text.toByteArray()))
    }

    fun client(
        sessions: SessionSource,
        storage: TokenStorage = InMemoryTokenStorage(),
        port: Int = this.port,
        totalDeadline: Duration = 30.seconds,
        attemptTimeout: Duration = 10.seconds,
    ) = SdkTokenClient(
        "http://127.0.0.1:$port", PHONE, sessions, storage,
        totalDeadline = totalDeadline, attemptTimeout = attemptTimeout,
    )

    /** A call of the internal API, as the customer's cloud makes it. */
    fun internal(path: String, body: JSONObject? = null): TestAnswer =
        call("http://127.0.0.1:$adminPort$path", body, "Bearer $ADMIN_TOKEN")

    /** The terminals of this account that have a token. */
    fun terminals(account: String): Int = internal("/accounts/$account").let {
        if (it.status == 404) 0 else JSONObject(it.body).getJSONArray("terminals").length()
    }

    fun vendorLogins(account: String): Int = JSONObject(call("$vendorUrl/simulator/state").body)
        .getJSONArray("loginsByTerminal").map { it as JSONObject }
        .filter { it.getString("unionId") == account }.sumOf { it.getInt("logins") }

    fun vendorAccepts(accessToken: String): Boolean =
        JSONObject(call("$vendorUrl/simulator/check-token", JSONObject().put("accessToken", accessToken)).body)
            .getBoolean("live")

    /** Changes how the simulated vendor answers, from the next login on. */
    fun vendor(vararg settings: Pair<String, Any>) {
        check(call("$vendorUrl/simulator/configure", JSONObject(settings.toMap())).status == 200)
    }

    override fun close() {
        serve.close()
        vendor.close()
    }

    companion object {
        /** For tests that change no setting. It ends with this process. */
        val shared: LocalBroker by lazy {
            LocalBroker().also { Runtime.getRuntime().addShutdownHook(Thread(it::close)) }
        }

        private fun base64(bytes: ByteArray) = Base64.getUrlEncoder().withoutPadding().encodeToString(bytes)

        private fun freePort() = ServerSocket(0).use { it.localPort }
    }
}

class TestAnswer(val status: Int, val body: String, val etag: String?)

fun call(url: String, body: JSONObject? = null, authorization: String? = null): TestAnswer =
    with(URL(url).openConnection() as HttpURLConnection) {
        authorization?.let { setRequestProperty("Authorization", it) }
        body?.let {
            doOutput = true
            setRequestProperty("Content-Type", "application/json")
            outputStream.write(it.toString().toByteArray())
        }
        val stream = if (responseCode < 400) inputStream else errorStream
        TestAnswer(responseCode, stream?.reader()?.readText() ?: "", getHeaderField("ETag"))
    }

/** The app's own login: sessions of one account, and how often one was renewed. */
class TestSessions @JvmOverloads constructor(
    private val broker: LocalBroker,
    val account: String = broker.newAccount(),
    @Volatile var current: String = broker.session(account),
) : SessionSource {
    @Volatile var renewals = 0

    /** Makes the session that a renewal returns. */
    var next: () -> String = { broker.session(account) }

    override suspend fun session() = current

    override suspend fun renewedSession(refused: String): String {
        renewals += 1
        current = next()
        return current
    }
}

private class NodeProcess(arguments: List<String>, environment: Map<String, String>) : AutoCloseable {
    private val lines = StringBuffer()
    private val process = ProcessBuilder(listOf("node", main.path) + arguments)
        .redirectErrorStream(true)
        .apply {
            environment().keys.retainAll(setOf("PATH"))
            environment() += environment
        }
        .start()

    init {
        check(main.exists()) { "$main is missing. Run `npm ci` in the root of the repository" }
        thread(isDaemon = true) {
            // The stream is closed when the process ends.
            runCatching { process.inputStream.reader().forEachLine { lines.append(it).append("\n") } }
        }
    }

    fun firstLine(pattern: Regex): String {
        repeat(300) {
            lines.lines().firstNotNullOfOrNull { pattern.find(it) }?.let { return it.groupValues[1] }
            check(process.isAlive) { "The process ended:\n$lines" }
            Thread.sleep(50)
        }
        error("No line matches $pattern:\n$lines")
    }

    override fun close() {
        process.destroy()
        if (!process.waitFor(10, TimeUnit.SECONDS)) process.destroyForcibly()
    }

    private companion object {
        val main = File("../../../dist/main.js")
    }
}
