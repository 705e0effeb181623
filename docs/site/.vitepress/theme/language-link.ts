import { type DefaultTheme, useData, withBase } from 'vitepress';
import { computed, defineComponent, h } from 'vue';
import { urlOf } from '../../urls.ts';

export interface TranslatedPages {
  /** Paths of all Chinese pages. They begin with `zh/`. */
  readonly chinesePages: readonly string[];
}

/** Leads to the same page in the other language. If that does not exist, it leads to the first page of that language. */
export const LanguageLink = defineComponent(() => {
  const { page, theme } = useData<DefaultTheme.Config & TranslatedPages>();
  const isChinese = computed(() => page.value.relativePath.startsWith('zh/'));
  const href = computed(() => {
    const path = page.value.relativePath;
    if (page.value.isNotFound) return isChinese.value ? '/' : '/zh/';
    if (isChinese.value) return urlOf(path.replace('zh/', ''));
    return theme.value.chinesePages.includes(`zh/${path}`) ? urlOf(`zh/${path}`) : '/zh/';
  });
  return () => {
    if (theme.value.chinesePages.length === 0) return undefined;
    const lang = isChinese.value ? 'en' : 'zh-CN';
    const attributes = { class: 'language-link', href: withBase(href.value), lang, hreflang: lang };
    return h('a', attributes, isChinese.value ? 'English' : '中文');
  };
});
