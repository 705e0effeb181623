package io.sdktokenbroker

import org.json.JSONArray
import org.json.JSONObject

/** An account of your cloud, as the SDK shows it to a user who shares a camera. */
data class HostAccount(val accessId: String, val nickName: String, val avatarUrl: String? = null)

/** The two look-ups that the SDK needs for sharing a camera by account. Your cloud answers them. */
interface ShareDirectory {
    /** @param account as the user typed it. @return `null` if there is no such account */
    suspend fun accountByName(account: String): HostAccount?
    /** Accounts that are unknown are missing from the result. */
    suspend fun accountsByAccessIds(accessIds: List<String>): List<HostAccount>
}

/**
 * The look-ups by `GET /share/account?account=…` and `POST /share/accounts`. They throw [BrokerError].
 *
 * @param cloudUrl an http or https URL. Another one is an [IllegalArgumentException]
 * @param client its sessions, transport and time limits count for these requests, too
 */
class CloudShareDirectory(cloudUrl: String, client: SdkTokenClient) : ShareDirectory {
    private val requests = client.requests
    private val baseUrl = "${baseUrl("cloudUrl", cloudUrl)}/share"

    override suspend fun accountByName(account: String): HostAccount? {
        val request = HttpRequest("GET", "$baseUrl/account?account=${account.encoded()}")
        // A 404 without JSON is a wrong address, not an unknown account.
        val answer = send(request) { it.status == 404 || it.status == 200 && hostAccount(it.json) != null }
        return if (answer.status == 404) null else hostAccount(answer.json)
    }

    override suspend fun accountsByAccessIds(accessIds: List<String>): List<HostAccount> {
        val body = JSONObject().put("accessIds", JSONArray(accessIds))
        val answer = send(HttpRequest("POST", "$baseUrl/accounts", body = body)) {
            it.status == 200 && it.json?.optJSONArray("accounts") != null
        }
        val accounts = answer.json?.optJSONArray("accounts") ?: return emptyList()
        return (0 until accounts.length()).mapNotNull { hostAccount(accounts.optJSONObject(it)) }
    }

    private suspend fun send(request: HttpRequest, isExpected: (HttpAnswer) -> Boolean) =
        requests.send(request) { it.json != null && isExpected(it) }

    private fun hostAccount(json: JSONObject?): HostAccount? {
        val accessId = json?.text("accessId") ?: return null
        return HostAccount(accessId, json.text("nickName") ?: return null, json.text("avatarUrl"))
    }
}
