package io.sdktokenbroker.spring;

import java.io.ByteArrayOutputStream;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow.Subscription;

/** Reads the text of an answer, because those of the JDK have no bound. A text that is too long counts as empty. */
class BoundedText implements BodySubscriber<String> {
    /** In bytes, as in the other clients. A token has less than 1 KiB, and many logins at once need little memory. */
    static final int BOUND = 64 * 1_024;
    /**
     * In bytes. The longest answer is to a look-up: its request has at most 512 KiB, and it has 1,000 unionIds of 128
     * characters, which JSON writes with at most 6 bytes each.
     */
    static final int BOUND_OF_LISTS = 2 * 1_024 * 1_024;

    private final int maxBytes;
    private final CompletableFuture<String> text = new CompletableFuture<>();
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private Subscription subscription;

    BoundedText(int maxBytes) {
        this.maxBytes = maxBytes;
    }

    @Override
    public CompletionStage<String> getBody() {
        return text;
    }

    @Override
    public void onSubscribe(Subscription subscription) {
        this.subscription = subscription;
        subscription.request(1);
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {
        for (ByteBuffer buffer : buffers) {
            if (bytes.size() + buffer.remaining() > maxBytes) {
                // Closes the connection.
                subscription.cancel();
                text.complete("");
                return;
            }
            byte[] part = new byte[buffer.remaining()];
            buffer.get(part);
            bytes.writeBytes(part);
        }
        subscription.request(1);
    }

    @Override
    public void onError(Throwable error) {
        text.completeExceptionally(error);
    }

    @Override
    public void onComplete() {
        text.complete(bytes.toString(StandardCharsets.UTF_8));
    }
}
