import type { Theme } from 'vitepress';
// This variant loads no fonts.
import DefaultTheme from 'vitepress/theme-without-fonts';
import { h } from 'vue';
import { LanguageLink } from './language-link.ts';
import { MermaidDiagram } from './mermaid-diagram.ts';
import './style.css';

export default {
  extends: DefaultTheme,
  Layout: () => h(DefaultTheme.Layout, null, { 'nav-bar-content-after': () => h(LanguageLink) }),
  enhanceApp({ app }) {
    app.component('MermaidDiagram', MermaidDiagram);
  },
} satisfies Theme;
