package com.example.cloud;

import java.time.Duration;
import java.util.List;
import java.util.Map;

import org.springframework.core.NestedExceptionUtils;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.ResponseEntity;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.stereotype.Component;
import org.springframework.web.client.RestClient;
import org.springframework.web.client.RestClientException;

/**
 * The calls to the broker's internal API. Keep its token secret: it opens the account of every user. Every call throws
 * RestClientException when the broker cannot answer.
 */
@Component
public class Broker {
    /** Hand both to the app unchanged. */
    public record SdkToken(Map<String, String> token, String etag) {
    }

    private record AccessId(String accessId) {
    }

    private static final ParameterizedTypeReference<Map<String, String>> TEXTS = new ParameterizedTypeReference<>() {
    };

    private final RestClient http;

    Broker(Settings settings, RestClient.Builder builder) {
        JdkClientHttpRequestFactory requests = new JdkClientHttpRequestFactory();
        // A first login at the vendor takes a second or two, and longer while the vendor has trouble. If the time is up,
        // the broker finishes the login all the same, and the next question gets its result.
        requests.setReadTimeout(Duration.ofSeconds(10));
        http = builder.requestFactory(requests)
                .baseUrl(settings.brokerUrl().toString())
                .defaultHeaders(headers -> headers.setBearerAuth(settings.brokerToken()))
                .build();
    }

    /** The SDK token for the phone. */
    SdkToken sdkToken(Account account, String uniqueId) {
        ResponseEntity<Map<String, String>> answer = http.get()
                .uri("/accounts/{unionId}/terminals/{uniqueId}/sdk-token?regRegion={country}",
                        account.unionId(), uniqueId, account.country())
                .retrieve().toEntity(TEXTS);
        return new SdkToken(answer.getBody(), answer.getHeaders().getETag());
    }

    /** The accessId of an account, also of one that has never opened the app. */
    String accessId(Account account) {
        return http.put()
                .uri("/accounts/{unionId}/access-id?regRegion={country}", account.unionId(), account.country())
                .retrieve().body(AccessId.class).accessId();
    }

    /** The unionId of each accessId. The broker leaves out what it does not know. */
    Map<String, String> unionIds(List<String> accessIds) {
        return http.post().uri("/accounts/lookup").body(Map.of("accessIds", accessIds)).retrieve().body(TEXTS);
    }

    /** For the log. The message of some errors has the URL, and so the ids of an account and a phone. */
    static String reasonOf(RestClientException error) {
        return NestedExceptionUtils.getMostSpecificCause(error).toString();
    }

    /** Deletes everything the broker has of the account. It refuses the account's sessions from then on. */
    void erase(String unionId) {
        http.delete().uri("/accounts/{unionId}", unionId).retrieve().toBodilessEntity();
    }
}
